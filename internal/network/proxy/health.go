package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// healthServers answer load balancers on services' health check node ports: 200 while this node has endpoints, else 503.
type healthServers struct {
	log     *slog.Logger
	mu      sync.Mutex
	servers map[int]*healthServer
}

type healthServer struct {
	http *http.Server
	mu   sync.Mutex
	now  Health
}

func newHealthServers(log *slog.Logger) *healthServers {
	return &healthServers{log: log, servers: map[int]*healthServer{}}
}

// set brings the servers up to date. Listeners are made on the calling thread, that is in its network namespace.
func (h *healthServers) set(want map[int]Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for port, s := range h.servers {
		if _, keep := want[port]; !keep {
			_ = s.http.Close()
			delete(h.servers, port)
		}
	}
	for port, state := range want {
		s := h.servers[port]
		if s == nil {
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("", strconv.Itoa(port)))
			if err != nil {
				// Tried again with the next change of services.
				h.log.Warn("cannot listen for health checks", "service", state.Service, "port", port, "err", err)
				continue
			}
			s = &healthServer{now: state}
			s.http = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
			h.servers[port] = s
			go func() { _ = s.http.Serve(l) }() // ends with Close
		}
		s.mu.Lock()
		s.now = state
		s.mu.Unlock()
	}
}

func (h *healthServers) close() { h.set(nil) }

// ServeHTTP answers in the form that load balancers know from upstream.
func (s *healthServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	namespace, name, _ := strings.Cut(now.Service, "/")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", fmt.Sprint(now.Local))
	if now.Local == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"service":             map[string]string{"namespace": namespace, "name": name},
		"localEndpoints":      now.Local,
		"serviceProxyHealthy": true,
	})
}
