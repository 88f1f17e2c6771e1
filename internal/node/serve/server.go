package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/logs"
	"coracle.dev/coracle/internal/node/stats"
)

// Host is the agent as the server sees it. Errors are sentences for the caller.
type Host interface {
	// Pods returns the node's pods with their newest status.
	Pods() []*v1.Pod
	// RunningPods returns stand-ins for what the runtime runs.
	RunningPods(ctx context.Context) ([]*v1.Pod, error)
	// Container returns the ID of the running container, Sandbox that of the pod's sandbox. uid may be empty.
	Container(namespace, pod, uid, container string) (string, error)
	Sandbox(namespace, pod, uid string) (string, error)
	// Log returns the path of a container's log and a channel that is closed when the container has ended.
	Log(namespace, pod, container string, previous bool) (path string, ended <-chan struct{}, err error)
	// Configuration returns what /configz shows.
	Configuration() any
}

// Config of a Server.
type Config struct {
	Listen       string
	Certificate  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Authenticate Authenticator
	Authorize    Authorizer
	Host         Host
	Runtime      runtimeapi.RuntimeServiceClient
	Logs         *logs.Follower
	Stats        *stats.Provider
	// Metrics are the agent's own.
	Metrics prometheus.Gatherer
	// SystemLogs is the folder that /logs/ shows.
	SystemLogs string
	Logger     *slog.Logger
	Now        func() time.Time
}

// Server serves the kubelet API.
type Server struct{ cfg Config }

// New returns a server.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// graceful is how long requests under way may take when the server ends.
const graceful = time.Second

// Run listens and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for the kubelet API: %w", err)
	}
	return s.Serve(ctx, listener)
}

// Serve serves on a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second,
		ErrorLog:    slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: s.cfg.Certificate,
			// Asked for, and judged per request: a caller may come with a token instead.
			ClientAuth: tls.RequestClientCert,
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the kubelet API: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return errors.Join(server.Close(), ignoreTimeout(err))
	}
	return nil
}

func ignoreTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// Handler returns the whole API, guarded.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { write(w, []byte("ok")) }
	mux.HandleFunc("/healthz", ok)
	mux.HandleFunc("/healthz/{check}", ok)
	mux.HandleFunc("GET /pods", s.pods)
	mux.HandleFunc("GET /pods/{$}", s.pods)
	mux.HandleFunc("GET /runningpods/{$}", s.runningPods)
	mux.HandleFunc("GET /configz", s.configz)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.containerLogs)
	mux.HandleFunc("GET /stats/summary", s.summary)
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", http.FileServer(http.Dir(s.cfg.SystemLogs))))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{}))
	for path, collector := range map[string]prometheus.Collector{
		"resource": &stats.Resource{Provider: s.cfg.Stats}, "cadvisor": &stats.Cadvisor{Provider: s.cfg.Stats},
	} {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collector)
		mux.Handle("GET /metrics/"+path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	}
	for _, target := range []string{"{namespace}/{pod}/{container}", "{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc("/exec/"+target, s.exec)
		mux.HandleFunc("/attach/"+target, s.attach)
		mux.HandleFunc("POST /run/"+target, s.run)
	}
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	return s.guard(mux)
}

// guard lets through who is known and allowed.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, known, err := s.cfg.Authenticate(r)
		if err != nil {
			s.cfg.Logger.Warn("a caller of the kubelet API could not be authenticated", "remote", r.RemoteAddr, "err", err)
		}
		if !known {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		for _, sub := range subresources(r.URL.Path) {
			allowed, err := s.cfg.Authorize(r.Context(), user, verb(r.Method), sub)
			if err != nil {
				s.cfg.Logger.Warn("a caller of the kubelet API could not be authorised", "user", user.Name, "err", err)
				http.Error(w, "Authorization error", http.StatusInternalServerError)
				return
			}
			if allowed {
				next.ServeHTTP(w, r)
				return
			}
		}
		subs := subresources(r.URL.Path)
		http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)",
			user.Name, verb(r.Method), subs),
			http.StatusForbidden)
	})
}

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) { s.writePods(w, s.cfg.Host.Pods()) }

func (s *Server) runningPods(w http.ResponseWriter, r *http.Request) {
	pods, err := s.cfg.Host.RunningPods(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.writePods(w, pods)
}

func (s *Server) writePods(w http.ResponseWriter, pods []*v1.Pod) {
	list := v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []v1.Pod{}}
	for _, p := range pods {
		list.Items = append(list.Items, *p)
	}
	writeJSON(w, list)
}

func (s *Server) configz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"kubeletconfig": s.cfg.Host.Configuration()})
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	summary, err := s.cfg.Stats.Summary(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, summary)
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, data)
}

// write ignores the error: the caller has gone.
func write(w http.ResponseWriter, data []byte) { _, _ = w.Write(data) }
