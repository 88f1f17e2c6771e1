package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/apiserver"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/events"
	"coracle.dev/coracle/internal/cluster/agent"
	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/lifecycle"
	"coracle.dev/coracle/internal/cluster/pki"
	"coracle.dev/coracle/internal/cluster/signer"
	"coracle.dev/coracle/internal/controllers"
	"coracle.dev/coracle/internal/controllers/nodeipam"
	"coracle.dev/coracle/internal/controllers/nodelifecycle"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/scheduler"
	"coracle.dev/coracle/internal/store"
)

// Server is a server being started.
type Server struct {
	cfg       *config.Server
	log       *slog.Logger
	stack     *lifecycle.Stack
	catalogue *api.Catalogue
	files     *pki.ServerFiles
	store     *store.Etcd
	security  *security
	api       *apiserver.Server
	node      *agent.Node
}

// Run runs a server until ctx ends. Containers of its node run on afterwards.
func Run(ctx context.Context, cfg *config.Server, log *slog.Logger) (err error) {
	if err := agent.EnsureAddress(&cfg.Agent); err != nil {
		return err
	}
	s := &Server{cfg: cfg, log: log, stack: lifecycle.New(log)}
	defer func() { err = errors.Join(err, s.stack.Stop()) }()
	starting, done := s.stack.Within(ctx)
	defer done()
	for _, step := range []struct {
		name  string
		start func(context.Context) error
	}{
		{"container runtime", s.startRuntime}, // needs nobody and takes longest, so it comes first
		{"certificates", s.makeCertificates},
		{"store", s.startStore},
		{"API server", s.startAPI},
		{"first objects", s.bootstrap},
		{"controllers", s.startControllers},
		{"scheduler", s.startScheduler},
		{"node", s.startNode},
	} {
		began := time.Now()
		if err := step.start(starting); err != nil {
			if cause := context.Cause(starting); cause != nil && ctx.Err() == nil {
				err = cause // the part that broke says more than who waited for it
			}
			return fmt.Errorf("starting the %s: %w", step.name, err)
		}
		log.Debug("started", "part", step.name, "took", time.Since(began).Round(time.Millisecond))
	}
	log.Info("server started", "node", cfg.NodeName, "url", s.url())
	return s.stack.Wait(ctx)
}

func (s *Server) startRuntime(ctx context.Context) (err error) {
	if s.cfg.Disabled(config.PartAgent) {
		return nil
	}
	s.node, err = agent.StartRuntime(ctx, s.stack, agent.Options{
		Agent: &s.cfg.Agent, Log: s.log, WithoutNetwork: s.cfg.Disabled(config.PartNetwork),
		WithoutProxy: s.cfg.Disabled(config.PartProxy), WithoutDNS: s.cfg.Disabled(config.PartDNS),
	})
	return err
}

func (s *Server) makeCertificates(context.Context) (err error) {
	spec := pki.ServerSpec{
		Dir: s.cfg.ServerPKIDir(), ServerURL: s.url(), Names: []string{s.cfg.NodeName}, Addresses: []netip.Addr{s.address()},
		ClusterDomain: s.cfg.ClusterDomain, ServiceCIDR: s.cfg.ServiceCIDR,
		NodeName: s.cfg.NodeName, NodeAddresses: []netip.Addr{s.cfg.NodeIP},
	}
	for _, san := range s.cfg.SANs {
		if ip, err := netip.ParseAddr(san); err == nil {
			spec.Addresses = append(spec.Addresses, ip)
		} else {
			spec.Names = append(spec.Names, san)
		}
	}
	if ip := s.cfg.BindAddress; ip.IsValid() && !ip.IsUnspecified() {
		spec.Addresses = append(spec.Addresses, ip)
	}
	s.files, err = pki.EnsureServer(spec, time.Now())
	return err
}

// address is where the cluster reaches this server.
func (s *Server) address() netip.Addr {
	if s.cfg.AdvertiseAddress.IsValid() {
		return s.cfg.AdvertiseAddress
	}
	return s.cfg.NodeIP
}

func (s *Server) url() string {
	return "https://" + net.JoinHostPort(s.address().String(), strconv.Itoa(s.cfg.SecurePort))
}

func (s *Server) startStore(ctx context.Context) (err error) {
	if s.catalogue, err = builtin.New(); err != nil {
		return err
	}
	s.store, err = store.Open(ctx, store.Options{
		DataDir: s.cfg.EtcdDir(), Endpoints: s.cfg.Etcd.Endpoints,
		TLS:        store.TLSFiles{CA: s.cfg.Etcd.CAFile, Cert: s.cfg.Etcd.CertFile, Key: s.cfg.Etcd.KeyFile},
		SoleWriter: len(s.cfg.Etcd.Endpoints) == 0, Heartbeat: heartbeat, CompactInterval: s.compactInterval(),
		Logger: s.log.With("part", "store"),
	})
	if err != nil {
		return err
	}
	s.stack.Start(ctx, "store", func(ctx context.Context) error {
		err := s.store.Run(ctx)
		return errors.Join(err, s.store.Close())
	})
	return nil
}

// compactInterval says never in the store's way.
func (s *Server) compactInterval() time.Duration {
	if s.cfg.Etcd.CompactionInterval == 0 {
		return -1
	}
	return s.cfg.Etcd.CompactionInterval
}

// heartbeat of the built-in etcd: its one member elects itself after up to ten of them, and idle ticks cost processor time.
const heartbeat = 25 * time.Millisecond

func (s *Server) startAPI(ctx context.Context) (err error) {
	if s.security, err = newSecurity(ctx, s); err != nil {
		return err
	}
	address := net.JoinHostPort(s.cfg.BindAddress.String(), strconv.Itoa(s.cfg.SecurePort))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("is another server running? %w", err)
	}
	certificates, err := apiserver.LoadCertificates(s.files.Serving.CertFile, s.files.Serving.KeyFile, time.Now)
	if err != nil {
		return err
	}
	cfg, err := s.security.apiConfig(s)
	if err != nil {
		return err
	}
	cfg.Listener = listener
	cfg.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: certificates.Get, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"},
	}
	if s.api, err = apiserver.New(cfg); err != nil {
		return err
	}
	s.stack.Start(ctx, "allocations", s.security.repair)
	s.stack.Start(ctx, "node authorizer", s.security.nodes.Run)
	s.stack.Start(ctx, "roles", s.security.rbac.Run)
	s.stack.Start(ctx, "API server", s.api.Run)
	return errors.Join(s.security.nodes.Sync(ctx), s.security.rbac.Sync(ctx))
}

// as returns a client in this process that acts as a user of system:authenticated and the groups.
func (s *Server) as(name string, groups ...string) client.Interface {
	return s.api.Local(request.User{Name: name, Groups: append(groups, request.GroupAuthenticated)})
}

// asMaster may do anything; for what must exist before there are any roles.
func (s *Server) asMaster() client.Interface { return s.as("system:apiserver", request.GroupMasters) }

// asController acts as the service account that a controller has in upstream.
func (s *Server) asController(name string) client.Interface {
	return s.as(request.ServiceAccountPrefix+"kube-system:"+name,
		request.GroupServiceAccounts, request.GroupServiceAccounts+":kube-system")
}

func (s *Server) startControllers(ctx context.Context) error {
	if s.cfg.Disabled(config.PartControllers) {
		return nil
	}
	list, err := controllers.All(controllers.Config{
		RootCA: s.files.CA.PEM(), PodRanges: []nodeipam.Range{{Prefix: s.cfg.ClusterCIDR, NodeBits: podRangeBits}},
		Nodes: nodelifecycle.Config{Grace: s.cfg.NodeGrace},
	})
	if err != nil {
		return err
	}
	if err := s.ensureControllerRoles(ctx, list); err != nil {
		return err
	}
	engine, err := reconcile.New(reconcile.Config{
		Client: s.asController, Clock: clock.RealClock{}, Rand: rand.Float64, Logger: s.log.With("part", "controllers"),
	}, list...)
	if err != nil {
		return err
	}
	s.stack.Start(ctx, "controllers", engine.Run)
	sign := signer.New(s.asMaster(), s.files.CA, s.cfg.ServiceCIDR, clock.RealClock{}, s.log.With("part", "signer"))
	s.stack.Start(ctx, "signer", sign.Run)
	return nil
}

// podRangeBits is the size of each node's part of the pod addresses: 254 of them.
const podRangeBits = 24

func (s *Server) startScheduler(ctx context.Context) error {
	if s.cfg.Disabled(config.PartScheduler) {
		return nil
	}
	log := s.log.With("part", "scheduler")
	c := s.as("system:kube-scheduler")
	recorder := events.New(events.Config{Client: c, Component: scheduler.DefaultName, Now: time.Now, Logger: log})
	s.stack.Start(ctx, "scheduler's events", recorder.Run)
	sched := scheduler.New(scheduler.Config{
		Client: c, Events: recorder, Pick: rand.IntN, Clock: clock.RealClock{}, Logger: log,
	})
	s.stack.Start(ctx, "scheduler", sched.Run)
	return nil
}

func (s *Server) startNode(ctx context.Context) error {
	if s.node == nil {
		return nil
	}
	serving, err := apiserver.LoadCertificates(s.files.KubeletServing.CertFile, s.files.KubeletServing.KeyFile, time.Now)
	if err != nil {
		return err
	}
	pool, err := agent.CertPool(s.files.CAFile)
	if err != nil {
		return err
	}
	return s.node.Start(ctx, s.stack, agent.Identity{
		Client:      s.as(request.NodeUserPrefix+s.cfg.NodeName, request.GroupNodes),
		ServingCert: serving.Get, ClientCA: pool,
	})
}
