// Command web is a small web program to try a cluster with. It says where it runs, and can be told to be unready or unhealthy.
//
//	GET  /            the pod's name, its node, the program's version and how many requests it has answered
//	GET  /healthz     200, or 503 after POST /healthz/off, until POST /healthz/on
//	GET  /readyz      the same for readiness
//	GET  /slow?for=2s an answer that takes its time (at most a minute)
//	GET  /env         the environment's names, without their values
//
// It listens on the port in PORT (8080) and ends within seconds when it is asked to: it becomes unready first, then lets
// requests that are under way finish.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxSlow      = time.Minute
	drainTimeout = 10 * time.Second
)

type program struct {
	pod, node, version string

	healthy, ready atomic.Bool
	requests       atomic.Int64
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Getenv, log); err != nil {
		log.Error("web ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, log *slog.Logger) error {
	p := newProgram(getenv)
	port := or(getenv("PORT"), "8080")
	server := &http.Server{Addr: ":" + port, Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Info("web is listening", "port", port, "pod", p.pod, "node", p.node, "version", p.version)
	select {
	case err := <-ended:
		return fmt.Errorf("listening on port %s: %w", port, err)
	case <-ctx.Done():
	}
	log.Info("web is asked to end")
	p.ready.Store(false)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("letting requests finish: %w", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newProgram(getenv func(string) string) *program {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	p := &program{
		pod: or(getenv("POD_NAME"), host), node: or(getenv("NODE_NAME"), "unknown"), version: or(getenv("VERSION"), "1"),
	}
	p.healthy.Store(true)
	p.ready.Store(true)
	return p
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (p *program) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from pod %s on node %s, version %s, request %d\n", p.pod, p.node, p.version, p.requests.Add(1))
	})
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		var names []string
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintln(w, strings.Join(names, "\n"))
	})
	addSwitch(mux, "/healthz", &p.healthy)
	addSwitch(mux, "/readyz", &p.ready)
	return mux
}

func addSwitch(mux *http.ServeMux, path string, state *atomic.Bool) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		if !state.Load() {
			http.Error(w, "off", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	set := func(on bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			state.Store(on)
			fmt.Fprintln(w, "ok")
		}
	}
	mux.HandleFunc("POST "+path+"/on", set(true))
	mux.HandleFunc("POST "+path+"/off", set(false))
}

func slow(w http.ResponseWriter, r *http.Request) {
	wait, err := time.ParseDuration(or(r.URL.Query().Get("for"), "1s"))
	if err != nil || wait < 0 || wait > maxSlow {
		http.Error(w, "for must be a duration from 0s to 1m", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		fmt.Fprintf(w, "That took %s.\n", wait)
	case <-r.Context().Done():
	}
}
