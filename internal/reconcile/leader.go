package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Election lets one of several processes run the controllers: the holder of a Lease. Another's lease is judged by when its
// last change was seen here, never by comparing clocks.
type Election struct {
	// Client reads and writes the lease.
	Client client.Interface
	// Namespace and Name of the lease; Identity is this process, unique among the candidates.
	Namespace, Name, Identity string
	// Duration is how long a lease is respected after its last change was seen. Default 15 s. The holder gives up after two
	// thirds of it without a successful renewal, and tries every Retry (default 2 s).
	Duration, Retry time.Duration
}

// candidate is one process's knowledge of the lease. decide is pure.
type candidate struct {
	identity string
	duration time.Duration
	// seen is the lease's last observed version and when it was first observed.
	seen   string
	seenAt time.Time
}

// observe notes a read of the lease.
func (c *candidate) observe(lease *coordinationv1.Lease, now time.Time) {
	version := string(lease.UID) + lease.ResourceVersion
	if version != c.seen {
		c.seen, c.seenAt = version, now
	}
}

// decide returns the lease to write, or nil when another holds it and may still be alive. lease nil means that there is none.
func (c *candidate) decide(lease *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	if lease == nil {
		return c.claim(&coordinationv1.Lease{}, now, true)
	}
	holder := ""
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	if holder != "" && holder != c.identity && now.Sub(c.seenAt) < c.duration {
		return nil
	}
	return c.claim(lease.DeepCopy(), now, holder != c.identity)
}

func (c *candidate) claim(lease *coordinationv1.Lease, now time.Time, change bool) *coordinationv1.Lease {
	at := metav1.NewMicroTime(now)
	seconds := int32(c.duration / time.Second)
	if change {
		transitions := int32(0)
		if lease.Spec.LeaseTransitions != nil {
			transitions = *lease.Spec.LeaseTransitions + 1
		}
		lease.Spec.LeaseTransitions, lease.Spec.AcquireTime = &transitions, &at
	}
	identity := c.identity
	lease.Spec.HolderIdentity, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds = &identity, &at, &seconds
	return lease
}

// run waits for the lease, runs term while it is held, and starts over when it is lost. When ctx ends it gives the lease back.
func (el *Election) run(ctx context.Context, cfg *Config, term func(context.Context) error) error {
	e := *el
	if e.Duration == 0 {
		e.Duration = 15 * time.Second
	}
	if e.Retry == 0 {
		e.Retry = 2 * time.Second
	}
	me := &candidate{identity: e.Identity, duration: e.Duration}
	for ctx.Err() == nil {
		if !e.acquire(ctx, cfg, me) {
			return nil
		}
		if err := e.lead(ctx, cfg, me, term); err != nil {
			return err
		}
	}
	return nil
}

// acquire returns true once this process holds the lease, false when ctx has ended.
func (el *Election) acquire(ctx context.Context, cfg *Config, me *candidate) bool {
	for {
		held, err := el.try(ctx, cfg, me)
		if held {
			return true
		}
		if err != nil && ctx.Err() == nil {
			cfg.Logger.Warn("reading or writing the leader's lease failed",
				"kind", kinds.Leases().String(), "namespace", el.Namespace, "name", el.Name, "err", err)
		}
		if !sleep(ctx, cfg, el.Retry) {
			return false
		}
	}
}

// lead runs one term until ctx ends, the term fails or the lease is lost. It returns an error only for the second.
func (el *Election) lead(ctx context.Context, cfg *Config, me *candidate, term func(context.Context) error) error {
	cfg.Logger.Info("leading", "lease", el.Namespace+"/"+el.Name, "identity", el.Identity)
	cfg.Metrics.Leader(true)
	defer cfg.Metrics.Leader(false)
	termCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- term(termCtx) }()
	renewed := cfg.Clock.Now()
	for {
		timer := cfg.Clock.NewTimer(el.Retry)
		select {
		case err := <-ended:
			timer.Stop()
			el.release(ctx, cfg, me)
			return err
		case <-timer.C():
		}
		deadline := renewed.Add(el.Duration * 2 / 3)
		tryCtx, cancel := context.WithTimeout(ctx, max(el.Retry, deadline.Sub(cfg.Clock.Now())))
		held, err := el.try(tryCtx, cfg, me)
		cancel()
		switch now := cfg.Clock.Now(); {
		case held:
			renewed = now
		case ctx.Err() != nil: // the term is ending; the next round sees it
		case err == nil || !now.Before(deadline):
			cfg.Logger.Warn("no longer leading", "lease", el.Namespace+"/"+el.Name, "err", err)
			stop()
			return ignoreCancel(<-ended)
		}
	}
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// try reads the lease and takes or renews it if it may. held is false with a nil error when another holds it.
func (el *Election) try(ctx context.Context, cfg *Config, me *candidate) (held bool, err error) {
	lease, err := client.Get[*coordinationv1.Lease](ctx, el.Client, kinds.Leases(), el.Namespace, el.Name)
	switch {
	case apierrors.IsNotFound(err):
		lease = nil
	case err != nil:
		return false, fmt.Errorf("reading lease %s/%s: %w", el.Namespace, el.Name, err)
	default:
		me.observe(lease, cfg.Clock.Now())
	}
	next := me.decide(lease, cfg.Clock.Now())
	if next == nil {
		return false, nil
	}
	w := Updating(kinds.Leases(), next)
	if lease == nil {
		next.Namespace, next.Name = el.Namespace, el.Name
		w = Creating(kinds.Leases(), next)
	}
	stored, err := el.Client.Write(ctx, w.Write)
	if err != nil {
		return false, fmt.Errorf("writing lease %s/%s: %w", el.Namespace, el.Name, err)
	}
	if l, ok := stored.(*coordinationv1.Lease); ok {
		me.observe(l, cfg.Clock.Now())
	}
	return true, nil
}

// release gives the lease up so that the next leader need not wait. It uses a moment after ctx has ended.
func (el *Election) release(ctx context.Context, cfg *Config, me *candidate) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), el.Retry)
	defer cancel()
	lease, err := client.Get[*coordinationv1.Lease](ctx, el.Client, kinds.Leases(), el.Namespace, el.Name)
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != me.identity {
		return
	}
	next := lease.DeepCopy()
	next.Spec.HolderIdentity = nil
	if _, err := el.Client.Write(ctx, Updating(kinds.Leases(), next).Write); err != nil {
		cfg.Logger.Debug("giving up the leader's lease failed", "err", err)
	}
}

func sleep(ctx context.Context, cfg *Config, d time.Duration) bool {
	timer := cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
