package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/discovery"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/wire"
)

// ServeHTTP implements http.Handler: the whole way of a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
		return
	}
	defer s.active.Done()
	rec := &recorder{ResponseWriter: w}
	auditID := r.Header.Get("Audit-Id")
	if auditID == "" || len(auditID) > maxAuditID {
		auditID = string(uuid.NewUUID())
	}
	w.Header().Set("Audit-Id", auditID)
	defer s.recovered(rec, r)
	s.serve(rec, r)
}

const maxAuditID = 64

// enter counts a request among those under way; false when the server is stopping.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Err() != nil {
		return false
	}
	s.active.Add(1)
	return true
}

// recovered turns a panic into a 500 with a log entry.
func (s *Server) recovered(w *recorder, r *http.Request) {
	problem := recover()
	if problem == nil {
		return
	}
	if problem == http.ErrAbortHandler { //nolint:errorlint // the very value
		panic(problem) //nolint:forbidigo // net/http wants it passed on
	}
	s.log.Error("panic while serving a request", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(problem),
		"stack", string(debug.Stack()))
	if !w.wrote {
		wire.WriteError(w, r, apierrors.NewInternalError(fmt.Errorf("%v", problem)))
	}
}

// serve identifies the caller, finds out what is wanted, and asks whether it is allowed.
func (s *Server) serve(w *recorder, r *http.Request) {
	user, err := s.identify(r)
	if err != nil {
		s.metrics.unauthenticated.Inc()
		wire.WriteError(w, r, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	a, rest := wire.Parse(r.Method, r.URL.Path, queryOf(r))
	a.User = user
	if err := s.impersonate(r, &a); err != nil {
		wire.WriteError(w, r, err)
		return
	}
	long := longRunning(&a, r)
	release, ok := s.admitted(&a, long)
	if !ok {
		s.refuseBusy(w, r, &a)
		return
	}
	defer release()
	began := s.cfg.Now()
	r, cancel := s.withDeadline(r, long)
	defer cancel()
	if err := s.dispatch(w, r, &a, rest); err != nil {
		wire.WriteError(w, r, s.atDeadline(r, err))
	}
	s.metrics.observe(&a, w, s.cfg.Now().Sub(began), long)
}

// dispatch authorizes a request and hands it to who serves it.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, a *request.Attributes, rest string) error {
	if err := s.chain.Authorize(r.Context(), a); err != nil {
		return err
	}
	if a.IsResource {
		err := s.wire.Serve(w, r, *a, rest)
		if err == chain.ErrNoRoute { //nolint:errorlint // never wrapped
			if s.serves(a.Group, a.Version) {
				return wire.NewNotRouted(http.StatusNotFound)
			}
			notFound(w)
			return nil
		}
		return err
	}
	s.serveNonResource(w, r)
	return nil
}

// serves tells whether the group version has built-in resources; upstream answers for their paths with a Status.
func (s *Server) serves(group, version string) bool {
	for _, res := range s.cfg.Catalogue.Resources() {
		if res.Group == group {
			if _, ok := res.Version(version); ok {
				return true
			}
		}
	}
	return false
}

// notFound is upstream's answer to a path that nobody serves.
func notFound(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("404 page not found\n")) // the client may be gone
}

func (s *Server) serveNonResource(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if h, ok := s.paths[path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	switch {
	case discovery.Is(path):
		s.discovery.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/openapi/"):
		s.cfg.OpenAPI.ServeHTTP(w, r)
	default:
		if h, ok := s.healthPath(path); ok {
			h.ServeHTTP(w, r)
			return
		}
		notFound(w)
	}
}

// queryOf parses the query once for most requests, which have none.
func queryOf(r *http.Request) map[string][]string {
	if r.URL.RawQuery == "" {
		return nil
	}
	return r.URL.Query()
}

// longRunning tells whether a request is a stream that neither time nor number limits hold for.
func longRunning(a *request.Attributes, r *http.Request) bool {
	if !a.IsResource {
		return false
	}
	switch a.Subresource {
	case "exec", "attach", "portforward", "proxy":
		return true
	case "log":
		return r.URL.Query().Get("follow") != ""
	}
	return a.Verb == "watch"
}

// withDeadline bounds a request: a stream by the server's life, others by time. The client may ask for less time than the
// server gives.
func (s *Server) withDeadline(r *http.Request, long bool) (*http.Request, context.CancelFunc) {
	if long {
		ctx, cancel := context.WithCancel(r.Context())
		stop := context.AfterFunc(s.stopping, cancel)
		return r.WithContext(ctx), func() {
			stop()
			cancel()
		}
	}
	limit := s.cfg.Limits.Timeout
	if r.URL.RawQuery != "" {
		if text := r.URL.Query().Get("timeout"); text != "" {
			if d, err := time.ParseDuration(text); err == nil && d > 0 && d < limit {
				limit = d
			}
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return r.WithContext(ctx), cancel
}

// atDeadline makes a 504 of an error that the request's own deadline caused.
func (s *Server) atDeadline(r *http.Request, err error) error {
	if r.Context().Err() != context.DeadlineExceeded || apierrors.IsTimeout(err) { //nolint:errorlint // the very value
		return err
	}
	return apierrors.NewTimeoutError("request did not complete within requested timeout - context deadline exceeded", 0)
}
