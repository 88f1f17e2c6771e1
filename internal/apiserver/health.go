package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// healthTimeout bounds one health check.
const healthTimeout = 5 * time.Second

// check is one condition of health.
type check struct {
	name string
	ok   func(context.Context) error
}

// checks returns the conditions of healthz, livez or readyz.
func (s *Server) checks(endpoint string) []check {
	list := []check{
		{"ping", func(context.Context) error { return nil }},
		{"etcd", func(ctx context.Context) error {
			_, err := s.cfg.Store.Current(ctx)
			return err
		}},
	}
	if endpoint != "readyz" {
		return list
	}
	list = append(list, check{"shutdown", func(context.Context) error {
		if s.stopping.Err() != nil {
			return errors.New("process is shutting down")
		}
		return nil
	}})
	names := make([]string, 0, len(s.cfg.Ready))
	for name := range s.cfg.Ready {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		list = append(list, check{name, s.cfg.Ready[name]})
	}
	return list
}

// healthPath finds the handler of /healthz/NAME and its likes.
func (s *Server) healthPath(path string) (http.Handler, bool) {
	parts := strings.SplitN(strings.Trim(path, "/"), "/", 2)
	if len(parts) != 2 || !slices.Contains([]string{"healthz", "livez", "readyz"}, parts[0]) {
		return nil, false
	}
	for _, c := range s.checks(parts[0]) {
		if c.name == parts[1] {
			return health(parts[0], func() []check { return []check{c} }), true
		}
	}
	return nil, false
}

// health serves a set of checks in upstream's text form.
func health(endpoint string, checks func() []check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		exclude := r.URL.Query()["exclude"]
		var b strings.Builder
		failed := false
		for _, c := range checks() {
			if slices.Contains(exclude, c.name) {
				fmt.Fprintf(&b, "[+]%s excluded: ok\n", c.name)
				continue
			}
			if err := c.ok(ctx); err != nil {
				failed = true
				fmt.Fprintf(&b, "[-]%s failed: reason withheld\n", c.name)
				continue
			}
			fmt.Fprintf(&b, "[+]%s ok\n", c.name)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case failed:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, "%s%s check failed\n", b.String(), endpoint) // the client may be gone
		case r.URL.Query().Has("verbose"):
			_, _ = fmt.Fprintf(w, "%s%s check passed\n", b.String(), endpoint) // as above
		default:
			_, _ = w.Write([]byte("ok")) // as above
		}
	})
}

// nonResourcePaths are the paths that are served as they are.
func (s *Server) nonResourcePaths() map[string]http.Handler {
	paths := map[string]http.Handler{
		"/version":  s.jsonHandler(func() any { return s.cfg.Version }),
		"/version/": s.jsonHandler(func() any { return s.cfg.Version }),
		"/metrics":  promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{}),
		"/":         s.jsonHandler(s.index),
	}
	for _, endpoint := range []string{"healthz", "livez", "readyz"} {
		h := health(endpoint, func() []check { return s.checks(endpoint) })
		paths["/"+endpoint] = h
		paths["/"+endpoint+"/"] = h
	}
	for path, h := range s.cfg.Paths {
		paths[path] = h
	}
	return paths
}

// index lists all paths.
func (s *Server) index() any {
	list := s.discovery.Groups()
	for path := range s.paths {
		if path != "/" && !strings.HasSuffix(path, "/") {
			list = append(list, path)
		}
	}
	sort.Strings(list)
	return map[string][]string{"paths": list}
}

func (s *Server) jsonHandler(value func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		data, err := json.MarshalIndent(value(), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data) // the client may be gone
	})
}
