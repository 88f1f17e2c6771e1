package serve

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"coracle.dev/coracle/internal/node/logs"
)

// containerLogs answers /containerLogs.
func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request) {
	options, previous, err := logOptions(r.URL.Query(), s.cfg.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	path, ended, err := s.cfg.Host.Log(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), previous)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	options.Ended = ended
	w.Header().Set("Content-Type", "text/plain")
	out := &lazyWriter{w: w}
	if err := s.cfg.Logs.Read(r.Context(), path, options, out); err != nil && !out.begun {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// lazyWriter knows whether anything was written: before that, an error may still set the status.
type lazyWriter struct {
	w     http.ResponseWriter
	begun bool
}

func (l *lazyWriter) Write(p []byte) (int, error) {
	l.begun = true
	return l.w.Write(p)
}

// Flush sends what was written, at least the headers.
func (l *lazyWriter) Flush() {
	l.begun = true
	if f, ok := l.w.(http.Flusher); ok {
		f.Flush()
	}
}

// logOptions reads the query of a log request.
func logOptions(q url.Values, now time.Time) (o logs.Options, previous bool, err error) {
	o = logs.Options{Tail: -1, Limit: -1}
	flags := map[string]*bool{"follow": &o.Follow, "previous": &previous, "timestamps": &o.Timestamps}
	for name, into := range flags {
		if v := q.Get(name); v != "" {
			if *into, err = strconv.ParseBool(v); err != nil {
				return o, false, fmt.Errorf("%s: %q is not a boolean", name, v)
			}
		}
	}
	numbers := map[string]*int64{"tailLines": &o.Tail, "limitBytes": &o.Limit}
	for name, into := range numbers {
		if v := q.Get(name); v != "" {
			if *into, err = strconv.ParseInt(v, 10, 64); err != nil || *into < 0 {
				return o, false, fmt.Errorf("%s: %q is not a number of at least 0", name, v)
			}
		}
	}
	seconds, at := q.Get("sinceSeconds"), q.Get("sinceTime")
	switch {
	case seconds != "" && at != "":
		return o, false, errors.New("at most one of sinceTime or sinceSeconds may be specified")
	case seconds != "":
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 1 {
			return o, false, fmt.Errorf("sinceSeconds: %q is not a number of at least 1", seconds)
		}
		o.Since = now.Add(-time.Duration(n) * time.Second)
	case at != "":
		if o.Since, err = time.Parse(time.RFC3339, at); err != nil {
			return o, false, fmt.Errorf("sinceTime: %q is not a time", at)
		}
	}
	o.Stream, err = logs.ParseStream(q.Get("stream"))
	return o, previous, err
}
