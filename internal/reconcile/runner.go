package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/events"
)

// runner runs one controller for one term.
type runner struct {
	cfg    *Config
	c      Controller
	client client.Interface
	log    *slog.Logger
	q      *queue
	inputs *inputs
	may    permissions
	ports  map[string]Port
	events *events.Recorder

	background sync.WaitGroup // waits and calls of keys

	mu     sync.Mutex
	parked map[schema.GroupResource]map[Key]struct{} // keys that wait for a deletion to show
}

func newRunner(cfg *Config, c Controller) *runner {
	r := &runner{
		cfg: cfg, c: c, client: cfg.Client(c.Name()), log: cfg.Logger.With("controller", c.Name()),
		q: newQueue(cfg.Clock), may: permissionsOf(c.Outputs()),
		parked: map[schema.GroupResource]map[Key]struct{}{},
	}
	r.inputs = newInputs(r)
	r.events = events.New(events.Config{
		Client: r.client, Component: c.Name(), Now: cfg.Clock.Now, Logger: r.log,
	})
	if p, ok := c.(PortUser); ok {
		r.ports = p.Ports()
	}
	return r
}

// run works until ctx ends. Rule 2 holds because no worker starts before every input has been read consistently.
func (r *runner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	defer r.background.Wait()
	defer r.q.close()
	g.Go(func() error { return r.events.Run(ctx) })
	g.Go(func() error {
		if err := r.inputs.open(ctx, g); err != nil {
			return err
		}
		r.log.Debug("all inputs are read, starting to work")
		for range r.cfg.Workers {
			g.Go(func() error { return r.work(ctx) })
		}
		return nil
	})
	return g.Wait()
}

func (r *runner) work(ctx context.Context) error {
	for {
		key, e, ok := r.q.get(ctx)
		if !ok {
			return nil
		}
		r.step(ctx, key, e)
		r.q.done(key)
	}
}

// step runs the key once if its view is new enough.
func (r *runner) step(ctx context.Context, key Key, e *entry) {
	if !r.q.collect(e) {
		return // its answers will bring it back
	}
	if debts := e.ledger.Debts(r.inputs.snapshot); len(debts) > 0 {
		r.park(ctx, key, e, debts)
		return
	}
	start := r.cfg.Clock.Now()
	r.cfg.Metrics.Started(r.c.Name(), start.Sub(e.since), r.q.len())
	again, err := r.reconcile(ctx, key, e)
	r.cfg.Metrics.Finished(r.c.Name(), r.cfg.Clock.Now().Sub(start), err)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		e.failures++
		again = backoff(e.failures, r.cfg.Rand())
		r.cfg.Metrics.Retried(r.c.Name())
		r.report(ctx, key, err, again)
	default:
		e.failures = 0
	}
	if again > 0 {
		r.q.addAfter(key, again)
	}
}

// report logs a failed run. That the server knew more than the view is ordinary and only of interest when debugging.
func (r *runner) report(ctx context.Context, key Key, err error, again time.Duration) {
	level := slog.LevelWarn
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		level = slog.LevelDebug
	}
	kind := key.Resource.String()
	if kind == "" {
		kind = r.inputs.primary
	}
	r.log.LogAttrs(ctx, level, "reconciling failed", slog.String("kind", kind), slog.String("namespace", key.Namespace),
		slog.String("name", key.Name), slog.Duration("again", again), slog.Any("err", err))
}

// reconcile lets the controller decide and does it. It returns when to come again.
func (r *runner) reconcile(ctx context.Context, key Key, e *entry) (time.Duration, error) {
	v := r.inputs.view(map[Key]Outcome{key: e.last}, e.answers)
	plan, err := r.decide(v, key)
	if err != nil {
		return 0, err
	}
	if err := r.may.judge(plan, r.ports); err != nil {
		return 0, err
	}
	e.last, e.answers = Outcome{}, nil
	err = r.perform(ctx, e, plan)
	if err != nil {
		if apierrors.HasStatusCause(err, "NamespaceTerminating") {
			return plan.After, nil // nothing can be created there any more, and its end is coming
		}
		return 0, err
	}
	if len(plan.Calls) > 0 {
		r.q.startCalling(e)
		r.background.Go(func() { r.q.stopCalling(key, e, r.call(ctx, plan.Calls)) })
	}
	return plan.After, nil
}

// decide calls the controller; a panic is its error, so that one odd object harms nothing else.
func (r *runner) decide(v *StaticView, key Key) (plan Plan, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in %s: %v\n%s", r.c.Name(), p, debug.Stack())
		}
	}()
	plan, err = r.c.Reconcile(v, key)
	if refused := v.Refused(); refused != nil {
		return Plan{}, refused
	}
	return plan, err
}

func (r *runner) enqueue(keys ...Key) {
	if n := r.q.add(keys...); n > 0 {
		r.cfg.Metrics.Queued(r.c.Name(), r.q.len())
	}
}

// park makes the key come again when its debts may be settled.
func (r *runner) park(ctx context.Context, key Key, e *entry, debts []Debt) {
	var wait []Debt
	r.mu.Lock()
	for _, d := range debts {
		if d.Revision != 0 || d.Sync {
			wait = append(wait, d)
			continue
		}
		if r.parked[d.Resource] == nil {
			r.parked[d.Resource] = map[Key]struct{}{}
		}
		r.parked[d.Resource][key] = struct{}{}
	}
	r.mu.Unlock()
	if len(wait) == 0 {
		// The deletion may have shown before the key was parked; then nobody would wake it.
		if len(e.ledger.Debts(r.inputs.snapshot)) == 0 {
			r.q.add(key)
		}
		return
	}
	if r.q.startWaiting(e) {
		r.background.Go(func() { r.settle(ctx, key, e, wait) })
	}
}

// settle waits until the caches have what the key owes.
func (r *runner) settle(ctx context.Context, key Key, e *entry, debts []Debt) {
	var synced []schema.GroupResource
	for _, d := range debts {
		cache, ok := r.inputs.cache(d.Resource)
		if !ok {
			continue // the kind is no longer served, and so no input
		}
		wait := func() error { return cache.WaitFor(ctx, d.Revision) }
		if d.Sync {
			wait = func() error { return cache.Sync(ctx) }
		}
		if err := r.retry(ctx, "catching up with "+d.Resource.String(), wait); err != nil {
			return // the term is over
		}
		if d.Sync {
			synced = append(synced, d.Resource)
		}
	}
	r.q.stopWaiting(key, e, synced)
}

// unpark wakes the keys that wait for a deletion of the resource to show.
func (r *runner) unpark(gr schema.GroupResource) {
	r.mu.Lock()
	keys := r.parked[gr]
	delete(r.parked, gr)
	r.mu.Unlock()
	for key := range keys {
		r.q.add(key)
	}
}

// retry repeats f with back-off until it succeeds or ctx ends.
func (r *runner) retry(ctx context.Context, what string, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		r.log.Warn(what+" failed", "err", err)
		timer := r.cfg.Clock.NewTimer(backoff(n+4, r.cfg.Rand()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C():
		}
	}
}
