package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
)

// Options say where the data is and how much memory may be spent on serving it.
type Options struct {
	// DataDir is the embedded etcd's folder, made with private modes. Unused with Endpoints.
	DataDir string
	// Endpoints are URLs of an outside etcd; empty for the embedded one.
	Endpoints []string
	// TLS is for Endpoints with https.
	TLS TLSFiles
	// SoleWriter says that nobody else writes to this etcd, so that a consistent read need not ask it.
	SoleWriter bool
	// Prefix is the root of all keys; "/registry/" when empty.
	Prefix string
	// HistoryEvents bounds the history window of each collection by count, HistoryBytes that of all together by the memory
	// that old states take, about. 10,000 and 32 MiB when 0.
	HistoryEvents int
	HistoryBytes  int
	// EncodedBytes is the budget for kept encodings, 24 MiB when 0.
	EncodedBytes int
	// CompactInterval is how often etcd's history is compacted, to what it was an interval before; 5 minutes when 0,
	// never when negative.
	CompactInterval time.Duration
	// QuotaBytes bounds the embedded etcd's database file, 4 GiB when 0.
	QuotaBytes int64
	// Heartbeat is the embedded etcd's tick, 20 ms when 0. A start takes one to five of them, until the only member has
	// elected itself; afterwards each is a wake-up of an idle process.
	Heartbeat time.Duration
	// Logger gets the store's own messages and etcd's from warnings on; discarded when nil.
	Logger *slog.Logger
	// Clock is the real one when nil.
	Clock clock.WithTicker
	// Metrics are told what happens; may be nil.
	Metrics Metrics
}

// TLSFiles are the paths of PEM files. The certificate is read anew for each connection, so it can be rotated.
type TLSFiles struct {
	CA, Cert, Key string
}

const (
	defaultPrefix        = "/registry/"
	defaultHistoryEvents = 10_000
	defaultHistoryBytes  = 32 << 20
	defaultEncodedBytes  = 24 << 20
	defaultCompaction    = 5 * time.Minute
	defaultQuotaBytes    = 4 << 30
	defaultHeartbeat     = 20 * time.Millisecond
)

func (o Options) withDefaults() Options {
	setDefault(&o.Prefix, defaultPrefix)
	setDefault(&o.HistoryEvents, defaultHistoryEvents)
	setDefault(&o.HistoryBytes, defaultHistoryBytes)
	setDefault(&o.EncodedBytes, defaultEncodedBytes)
	setDefault(&o.CompactInterval, defaultCompaction)
	setDefault(&o.QuotaBytes, defaultQuotaBytes)
	setDefault(&o.Heartbeat, defaultHeartbeat)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	return o
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Etcd implements Store on an embedded or an outside etcd.
type Etcd struct {
	options   Options
	log       *slog.Logger
	backend   backend
	image     *image
	leases    *leases
	encodings *encodings
	compacted atomic.Int64 // states before this revision are gone
	streams   atomic.Int64 // open

	closeOnce sync.Once
	closeErr  error
}

var _ Store = (*Etcd)(nil)

// Open starts or connects to etcd and loads the image. The store can be read at once; writes return, and others' writes
// are seen, only while Run runs. Close it after Run has returned.
func Open(ctx context.Context, options Options) (*Etcd, error) {
	options = options.withDefaults()
	var b backend
	var err error
	if len(options.Endpoints) > 0 {
		b, err = dial(options)
	} else {
		b, err = embedded(ctx, options)
	}
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, b, options)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return s, nil
}

// open loads the image from a backend.
func open(ctx context.Context, b backend, options Options) (*Etcd, error) {
	options = options.withDefaults()
	s := &Etcd{
		options:   options,
		log:       options.Logger,
		backend:   measured{b, options.Metrics, options.Clock},
		image:     newImage(options.Prefix, historyLimits{options.HistoryEvents, options.HistoryBytes}),
		encodings: &encodings{budget: options.EncodedBytes},
	}
	s.leases = newLeases(s.backend.grant, options.Clock.Now)
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Run implements Store. It returns nil when ctx ends, and an error when etcd can no longer be used.
func (s *Etcd) Run(ctx context.Context) error {
	defer s.image.stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.feed(ctx) })
	if s.options.CompactInterval > 0 {
		g.Go(func() error { return s.compactLoop(ctx) })
	}
	g.Go(func() error {
		select {
		case <-s.backend.failed():
			return errors.New("etcd stopped")
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Close stops the embedded etcd or hangs up on the outside one. Call it after Run has returned.
func (s *Etcd) Close() error {
	s.closeOnce.Do(func() {
		s.image.stop()
		s.closeErr = s.backend.close()
	})
	return s.closeErr
}

// Collection implements Store.
func (s *Etcd) Collection(_ context.Context, spec CollectionSpec) (Collection, error) {
	switch {
	case !strings.HasPrefix(spec.Prefix, s.options.Prefix) || spec.Prefix == s.options.Prefix:
		return nil, fmt.Errorf("collection %q is not under %s", spec.Prefix, s.options.Prefix)
	case !strings.HasSuffix(spec.Prefix, "/"):
		return nil, fmt.Errorf("collection %q does not end with a slash", spec.Prefix)
	case spec.Codec == nil:
		return nil, fmt.Errorf("collection %q has no codec", spec.Prefix)
	}
	f, err := s.image.register(newSchema(spec))
	if err != nil {
		return nil, err
	}
	return &collection{store: s, folder: f}, nil
}

// Revision implements Store.
func (s *Etcd) Revision() int64 { return s.image.revision() }

// WaitFor implements Store.
func (s *Etcd) WaitFor(ctx context.Context, revision int64) error {
	return s.image.reach(ctx, revision, true)
}

// Current implements Store.
func (s *Etcd) Current(ctx context.Context) (int64, error) {
	if s.options.SoleWriter {
		// Every write that was acknowledged had reached the image before.
		return s.image.revision(), nil
	}
	revision, err := s.backend.revision(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading etcd's revision: %w", err)
	}
	if err := s.image.reach(ctx, revision, true); err != nil {
		return 0, err
	}
	return s.image.revision(), nil
}

// Compacted implements Store.
func (s *Etcd) Compacted() int64 { return max(0, s.compacted.Load()-1) }

// awaitFuture waits a short while for a revision that the image has not reached.
func (s *Etcd) awaitFuture(ctx context.Context, revision int64) error {
	if s.image.revision() >= revision {
		return nil
	}
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := s.options.Clock.NewTimer(futureWait)
	defer timer.Stop()
	go func() {
		select {
		case <-timer.C():
			stop(ErrFuture)
		case <-limited.Done():
		}
	}()
	err := s.image.reach(limited, revision, true)
	if err != nil && errors.Is(context.Cause(limited), ErrFuture) {
		return fmt.Errorf("newest is %d: %w", s.image.revision(), ErrFuture)
	}
	return err
}
