package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/client"
)

// Config is what an Engine needs from outside.
type Config struct {
	// Client returns the client with which the named controller reads and writes: its own service account.
	Client func(controllerName string) client.Interface
	// Clock defaults to the real one.
	Clock clock.WithDelayedExecution
	// Rand returns a number in [0,1) for jitter. Safe for concurrent use. Required.
	Rand func() float64
	// Logger defaults to none.
	Logger *slog.Logger
	// Metrics defaults to none.
	Metrics Metrics
	// Workers is how many keys of one controller run at once. Default 5.
	Workers int
	// WritesAtOnce bounds the concurrent writes of one group. Default 16.
	WritesAtOnce int
	// WriteTimeout is when a write counts as ambiguous. Default 30 s.
	WriteTimeout time.Duration
	// Election, when set, makes the controllers run only while this process holds the lease.
	Election *Election
}

// Engine runs controllers.
type Engine struct {
	cfg         Config
	controllers []Controller
}

// New returns an engine for these controllers. It fails when two have the same name or one declares something twice.
func New(cfg Config, controllers ...Controller) (*Engine, error) {
	if cfg.Client == nil || cfg.Rand == nil {
		return nil, errors.New("reconcile: Config.Client and Config.Rand are required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	if cfg.Workers == 0 {
		cfg.Workers = 5
	}
	if cfg.WritesAtOnce == 0 {
		cfg.WritesAtOnce = 16
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	names := map[string]bool{}
	for _, c := range controllers {
		if names[c.Name()] {
			return nil, fmt.Errorf("two controllers are called %s", c.Name())
		}
		names[c.Name()] = true
		if err := check(c); err != nil {
			return nil, fmt.Errorf("controller %s: %w", c.Name(), err)
		}
	}
	return &Engine{cfg: cfg, controllers: controllers}, nil
}

// check judges a controller's declarations.
func check(c Controller) error {
	seen := map[string]bool{}
	for _, in := range c.Inputs() {
		name := in.Resource.String()
		switch {
		case in.Every != (in.Resource.Resource == ""):
			return fmt.Errorf("input %q: either a resource or every kind", name)
		case seen[name]:
			return fmt.Errorf("input %s is declared twice", name)
		}
		seen[name] = true
	}
	for _, out := range c.Outputs() {
		if out.Every != (out.Resource.Resource == "") {
			return fmt.Errorf("output %q: either a resource or every kind", out.Resource)
		}
	}
	return nil
}

// Graph tells who reads and writes what.
func (e *Engine) Graph() []Edges { return Graph(e.controllers...) }

// Run runs all controllers until ctx ends, and returns nil then. With an election it runs them while this process leads, as
// often as that happens. Each term starts from nothing: no key state survives, and every input is read consistently first.
func (e *Engine) Run(ctx context.Context) error {
	if e.cfg.Election == nil {
		e.cfg.Metrics.Leader(true)
		return e.term(ctx)
	}
	return e.cfg.Election.run(ctx, &e.cfg, e.term)
}

func (e *Engine) term(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range e.controllers {
		r := newRunner(&e.cfg, c)
		g.Go(func() error {
			if err := r.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("running controller %s: %w", c.Name(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// backoff is how long to wait after the nth failure in a row (from 1): 10 ms, doubling up to 5 minutes, each shortened by up
// to half so that keys that failed together don't come back together.
func backoff(n int, random float64) time.Duration {
	const base, most = 10 * time.Millisecond, 5 * time.Minute
	d := most
	if n < 16 {
		d = min(base<<(n-1), most)
	}
	return d - time.Duration(random*float64(d)/2)
}
