package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiversion "k8s.io/apimachinery/pkg/version"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/alloc"
	"coracle.dev/coracle/internal/apiserver/authn"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/discovery"
	"coracle.dev/coracle/internal/apiserver/local"
	"coracle.dev/coracle/internal/apiserver/openapi"
	"coracle.dev/coracle/internal/apiserver/proxy"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/wire"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

// Config is what a Server is made of. Store, Catalogue, Codec, Now and Rand are required; what else is left out is off, or has
// upstream's value.
type Config struct {
	Store     store.Store
	Catalogue *api.Catalogue
	// Codec returns the storage codec of a resource.
	Codec func(*api.Resource) store.Codec
	// Authenticator identifies callers; nil takes everyone for anonymous.
	Authenticator authn.Authenticator
	// Authorizer decides on calls; nil allows everything.
	Authorizer authz.Authorizer
	Admission  []admission.Plugin
	Allocators map[schema.GroupResource]alloc.Allocator
	// Handlers answer creates that store nothing, by "resource.group/subresource"; see chain.Config.
	Handlers map[string]chain.Handler
	// Kubelet says how nodes and what runs on them are reached, for log, exec, attach, portforward and proxy. Nil: those are
	// 404.
	Kubelet *proxy.Config
	// OpenAPI serves /openapi/v2 and /openapi/v3; nil: the documents of the built-in API.
	OpenAPI http.Handler
	// Paths are further non-resource paths, such as /.well-known/openid-configuration; they need authorization like all others.
	Paths map[string]http.Handler
	// Ready are further conditions of /readyz, by name. A nil error means ready.
	Ready map[string]func(context.Context) error

	// Listener accepts connections; Run closes it. TLS must have a certificate (see Certificates) and normally
	// ClientAuth = tls.RequestClientCert; nil serves plain HTTP, for tests.
	Listener net.Listener
	TLS      *tls.Config

	Limits  Limits
	Version apiversion.Info
	// Metrics is the registry behind /metrics; nil makes one.
	Metrics *prometheus.Registry
	Now     func() time.Time
	// Rand returns a random number from 0 to below n; it makes names, spreads watches over time and services over pods.
	Rand   func(n int) int
	Logger *slog.Logger
}

// Limits bound what requests may use. Zero values are upstream's.
type Limits struct {
	// Reads and Writes are how many requests of each kind run at once, long-running ones not counted; 400 and 200.
	Reads, Writes int
	// Timeout is how long a request may take that is not long-running; one minute.
	Timeout time.Duration
	// Body is the greatest body in bytes; 3 MiB.
	Body int64
	// Streams is how many requests one HTTP/2 connection may have open; 1000, since one client may watch every resource.
	Streams int
}

func (l Limits) withDefaults() Limits {
	if l.Reads == 0 {
		l.Reads = 400
	}
	if l.Writes == 0 {
		l.Writes = 200
	}
	if l.Timeout == 0 {
		l.Timeout = time.Minute
	}
	if l.Body == 0 {
		l.Body = wire.MaxBody
	}
	if l.Streams == 0 {
		l.Streams = 1000
	}
	return l
}

// Server is the API server. Safe for concurrent use.
type Server struct {
	cfg       Config
	chain     *chain.Chain
	wire      *wire.Handler
	discovery *discovery.Documents
	metrics   *metrics
	reads     chan struct{}
	writes    chan struct{}
	paths     map[string]http.Handler
	log       *slog.Logger
	// stopping ends when Run is about to end: streams end with it, and readyz says so.
	stopping context.Context //nolint:containedctx // of the server's life
	stop     context.CancelFunc
	// active counts requests under way; mu keeps new ones from coming in once the server stops.
	mu     sync.Mutex
	active sync.WaitGroup
}

// New makes a Server. Nothing runs and nothing is read before Run or the first local call.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Catalogue == nil || cfg.Codec == nil || cfg.Now == nil || cfg.Rand == nil {
		return nil, errors.New("apiserver: Store, Catalogue, Codec, Now and Rand are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OpenAPI == nil {
		cfg.OpenAPI = openapi.New(openapi.Builtin{}, cfg.Now)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	cfg.Limits = cfg.Limits.withDefaults()
	c, err := chain.New(chain.Config{
		Store: cfg.Store, Catalogue: cfg.Catalogue, Codec: cfg.Codec, Authorizer: cfg.Authorizer, Admission: cfg.Admission,
		Allocators: cfg.Allocators, Handlers: cfg.Handlers, Now: cfg.Now, Rand: cfg.Rand, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("apiserver metrics: %w", err)
	}
	address := ""
	if cfg.Listener != nil {
		address = cfg.Listener.Addr().String()
	}
	s := &Server{
		cfg: cfg, chain: c, metrics: m, log: cfg.Logger,
		wire: wire.New(c, wire.Config{
			Streams: streams(c, cfg), MaxBody: cfg.Limits.Body, Rand: cfg.Rand, Logger: cfg.Logger,
		}),
		discovery: discovery.New(c.Catalogue, address),
		reads:     make(chan struct{}, cfg.Limits.Reads),
		writes:    make(chan struct{}, cfg.Limits.Writes),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.paths = s.nonResourcePaths()
	return s, nil
}

// streams makes the proxy to nodes and pods, if there is to be one.
func streams(c *chain.Chain, cfg Config) wire.Streams {
	if cfg.Kubelet == nil {
		return nil
	}
	conf := *cfg.Kubelet
	conf.Pick = cfg.Rand
	if conf.Logger == nil {
		conf.Logger = cfg.Logger
	}
	return proxy.New(c, conf)
}

// Local returns the in-process client of a user: the same checks, no serialisation, the store's own image.
func (s *Server) Local(user request.User) client.Interface { return local.New(s.chain, user, s.raw) }

// SetCatalogue replaces what is served, as custom resources come and go.
func (s *Server) SetCatalogue(c *api.Catalogue) { s.chain.SetCatalogue(c) }

// Catalogue returns what is served now.
func (s *Server) Catalogue() *api.Catalogue { return s.chain.Catalogue() }

// Chain returns the server's call chain, for connectors that resolve objects (package proxy).
func (s *Server) Chain() *chain.Chain { return s.chain }

// Run serves on the configured listener until ctx ends, then gives requests under way a moment to finish.
func (s *Server) Run(ctx context.Context) error {
	if s.cfg.Listener == nil {
		return errors.New("apiserver: no listener")
	}
	server := &http.Server{
		Handler:           s,
		TLSConfig:         s.cfg.TLS,
		ReadHeaderTimeout: 32 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    1 << 20,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: s.cfg.Limits.Streams},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if s.cfg.TLS == nil {
			ended <- server.Serve(s.cfg.Listener)
		} else {
			ended <- server.ServeTLS(s.cfg.Listener, "", "")
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	// Streams end at once, so that their clients reconnect elsewhere; other requests get the time they need.
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.drain(context.WithoutCancel(ctx), server)
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the API: %w", err)
	}
	return nil
}

// drain lets requests under way finish, then closes the connections. It does not wait for clients to close theirs.
func (s *Server) drain(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	idle := make(chan struct{})
	go func() {
		s.active.Wait()
		close(idle)
	}()
	go func() { _ = server.Shutdown(ctx) }() // tells clients to go; what is left is closed below
	select {
	case <-idle:
	case <-ctx.Done():
	}
	_ = server.Close() // nothing is left that could be lost
}

// shutdownGrace is how long requests under way may take when the server stops.
const shutdownGrace = 5 * time.Second
