package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/probe"
)

// worker brings one pod to what the API says. Its loop is the only one to touch the fields below "loop".
type worker struct {
	agent *Agent
	log   *slog.Logger
	wake  chan struct{}
	done  chan result
	probe *probe.Set

	mu    sync.Mutex
	inbox inbox
	shows shared
	exits map[string]chan struct{}
	left  bool

	// loop: what is known.
	pod      *v1.Pod
	gone     bool
	end      *pod.End
	view     cri.View
	seen     bool // the runtime was looked at once
	last     v1.PodStatus
	reported bool
	ended    time.Time
	finished bool
	followed bool // what the pod refers to

	// loop: memory of operations.
	mounted     bool
	stale       bool // volumes must be written again
	renewAt     time.Time
	released    bool
	mountWait   wait
	sandboxWait wait
	stopped     map[string]bool // sandboxes
	hooked      sync.Map        // container IDs whose preStop hook ran
	trouble     map[string]pod.Trouble
	pullDelay   map[string]time.Duration
	backoff     map[string]pod.Backoff
	announced   map[string]time.Time // when a back-off was last mentioned
	running     map[string]*operation
	pauses      map[string]wait // operations that failed
	report      reporter
}

// inbox is what others tell the worker, until its loop takes it.
type inbox struct {
	pod    *v1.Pod
	gone   bool
	end    *pod.End
	look   bool
	config bool
}

// operation is one under way.
type operation struct {
	op     pod.Op
	cancel context.CancelFunc
}

// result is how an operation ended.
type result struct {
	op  pod.Op
	err error
}

// wait is a growing delay after failures.
type wait struct {
	message string
	delay   time.Duration
	until   time.Time
}

// failed returns the wait after one more failure.
func (w wait) failed(now time.Time, first, most time.Duration, message string) wait {
	delay := first
	if w.delay > 0 {
		delay = min(2*w.delay, most)
	}
	return wait{message: message, delay: delay, until: now.Add(delay)}
}

func newWorker(a *Agent, p *v1.Pod) *worker {
	w := &worker{
		agent: a, pod: p, log: a.cfg.Logger.With("kind", "Pod", "namespace", p.Namespace, "name", p.Name),
		wake: make(chan struct{}, 1), done: make(chan result, 16),
		stopped: map[string]bool{}, trouble: map[string]pod.Trouble{}, pullDelay: map[string]time.Duration{},
		backoff: map[string]pod.Backoff{}, announced: map[string]time.Time{}, running: map[string]*operation{},
		pauses: map[string]wait{}, exits: map[string]chan struct{}{}, last: *p.Status.DeepCopy(),
	}
	w.inbox.pod, w.inbox.look = p, true
	w.report.base(p)
	w.probe = probe.New(probe.Config{
		Exec: a.execSync, Changed: w.poke, Now: a.cfg.Now, Rand: a.cfg.Rand,
		Event: func(container, kind, reason, message string) {
			a.containerEvent(w.current(), container, kind, reason, message)
		},
	})
	return w
}

func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// tell changes the inbox and wakes the loop.
func (w *worker) tell(change func(*inbox)) {
	w.mu.Lock()
	change(&w.inbox)
	w.mu.Unlock()
	w.poke()
}

func (w *worker) updated(p *v1.Pod) { w.tell(func(i *inbox) { i.pod = p }) }

// removed says that the API has no such pod any more. The last known object still says how to end it.
func (w *worker) removed(p *v1.Pod) { w.tell(func(i *inbox) { i.pod, i.gone = p, true }) }

func (w *worker) runtimeChanged() { w.tell(func(i *inbox) { i.look = true }) }

func (w *worker) configChanged() { w.tell(func(i *inbox) { i.config = true }) }

// current returns the newest pod that the worker was told of. Safe for concurrent use.
func (w *worker) current() *v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inbox.pod
}

// occupies returns the pod while it takes room on the node, else nil.
func (w *worker) occupies() *v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.inbox.end != nil, pod.IsTerminal(w.inbox.pod.Status.Phase), pod.IsTerminal(w.shows.status.Phase):
		return nil
	case w.inbox.gone && !slices.ContainsFunc(w.shows.view.Containers,
		func(c pod.Container) bool { return c.State == pod.Running }):
		return nil
	}
	return w.inbox.pod
}

// run is the loop. It ends with ctx, leaving containers as they are, or when nothing is left of the pod.
func (w *worker) run(ctx context.Context) {
	defer w.cancelAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := true
	for {
		look = w.take(ctx) || look
		again := w.step(ctx, look)
		look = false
		if w.finished || ctx.Err() != nil {
			return
		}
		if !again.IsZero() {
			timer.Reset(max(again.Sub(w.agent.cfg.Now()), 0))
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		case r := <-w.done:
			look = w.took(r)
		}
	}
}

// take empties the inbox and says whether the runtime should be looked at.
func (w *worker) take(ctx context.Context) bool {
	w.mu.Lock()
	in := w.inbox
	w.inbox.look, w.inbox.config = false, false
	w.mu.Unlock()
	if in.pod != w.pod || !w.followed {
		w.followed = true
		if !in.gone && w.ended.IsZero() {
			w.agent.source.Follow(ctx, in.pod)
		}
		w.stale = w.stale || metadataChanged(w.pod, in.pod)
		if in.pod.Generation != w.pod.Generation {
			clear(w.trouble)
		}
		w.pod = in.pod
		w.report.base(in.pod)
		if !in.gone {
			w.last = keepForeign(w.last, in.pod.Status)
		}
	}
	w.gone, w.end = in.gone, in.end
	if in.config {
		w.stale = true
		w.mountWait = wait{}
		for name, t := range w.trouble {
			if t.Reason == reasonConfig {
				delete(w.trouble, name)
			}
		}
	}
	return in.look
}

// step looks, decides and begins what must be begun. It returns when to come back at the latest.
func (w *worker) step(ctx context.Context, look bool) time.Time {
	now := w.agent.cfg.Now()
	if look || !w.seen {
		view, err := w.agent.runtime.Observe(ctx, string(w.pod.UID))
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("looking at the runtime", "err", err)
			}
			w.inboxLook()
			return now.Add(time.Second)
		}
		w.view = view
		if !w.seen {
			w.seen = true
			w.adopt()
		}
	}
	o := w.observed(now)
	w.updateProbes(ctx, o, !w.ended.IsZero())
	o.Probes = w.probe.Results()
	plan := pod.Next(w.pod, o)
	if plan.Ending && w.ended.IsZero() {
		w.ended = now
		o.EndedAt = now
		w.updateProbes(ctx, o, true)
		plan = pod.Next(w.pod, o)
	}
	w.last = pod.Status(w.pod, o)
	w.show()
	again := plan.Again
	sooner(&again, w.reportStatus(ctx, now))
	if w.reported != o.Reported {
		o.Reported = w.reported
		plan = pod.Next(w.pod, o)
	}
	sooner(&again, w.reconcile(ctx, o, plan, now))
	sooner(&again, w.refresh(ctx, plan.Ending, now))
	w.announce(plan.BackOff, now)
	return again
}

func (w *worker) inboxLook() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox.look = true
}

func sooner(t *time.Time, other time.Time) {
	if !other.IsZero() && (t.IsZero() || other.Before(*t)) {
		*t = other
	}
}

// observed puts all that is known together for the state machine.
func (w *worker) observed(now time.Time) *pod.Observed {
	a := w.agent
	o := &pod.Observed{
		Now: now, Sandboxes: slices.Clone(w.view.Sandboxes), Containers: w.view.Containers, Runtime: a.runtimeName(),
		Mounted: w.mounted, NetworkReady: a.networkReady.Load(), Released: w.released,
		MountWait:   pod.Wait{Message: w.mountWait.message, Retry: w.mountWait.until},
		SandboxWait: pod.Wait{Message: w.sandboxWait.message, Retry: w.sandboxWait.until},
		Probes:      w.probe.Results(), Starting: map[string]int32{}, Trouble: w.trouble, Backoff: w.backoff,
		End: w.end, Gone: w.gone, EndedAt: w.ended, Reported: w.reported, HostIPs: a.cfg.NodeIPs, Last: w.last,
	}
	for i := range o.Sandboxes {
		o.Sandboxes[i].Stopped = w.stopped[o.Sandboxes[i].ID]
	}
	for _, r := range w.running {
		if r.op.Do == pod.StartContainer {
			o.Starting[r.op.Container] = int32(r.op.Attempt)
		}
	}
	return o
}

// adopt remembers what containers that run already imply.
func (w *worker) adopt() {
	o := &pod.Observed{Containers: w.view.Containers}
	for _, e := range pod.Entries(w.pod) {
		if b := pod.Remembered(o, e.Name); b != (pod.Backoff{}) {
			w.backoff[e.Name] = b
		}
	}
}

func (w *worker) cancelAll() {
	for _, r := range w.running {
		r.cancel()
	}
	w.probe.Update(context.Background(), nil, false)
	w.leave()
	w.agent.source.Forget(w.pod.UID)
}
