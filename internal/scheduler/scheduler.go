package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
	"coracle.dev/coracle/internal/scheduler/queue"
)

// DefaultName is the scheduler that pods get when they name none.
const DefaultName = corev1.DefaultSchedulerName

// Recorder records events about pods; events.Recorder is one.
type Recorder interface {
	Event(obj api.Object, kind, reason, message string)
}

// Config of a Scheduler. Client, Events, Pick and Logger are required.
type Config struct {
	// Name is the spec.schedulerName that this scheduler answers to; DefaultName when empty.
	Name   string
	Client client.Interface
	Events Recorder
	// Profile is what decides; the default plugins when nil.
	Profile *core.Profile
	// Pick chooses between n equally good nodes.
	Pick   func(n int) int
	Clock  clock.Clock
	Logger *slog.Logger
}

// Scheduler assigns pods to nodes.
type Scheduler struct {
	cfg     Config
	cluster *core.Cluster
	queue   *queue.Queue
	related related
	// start is where the next search through the nodes begins.
	start int
	// evicting holds the pods for which others are being evicted; true when one was tried in vain meanwhile.
	evicting map[types.UID]bool
	// inbox carries all that must run in the loop: what was observed, and how writes ended.
	inbox chan func()
	// writes bounds how many writes are under way.
	writes chan struct{}
}

// writesAtOnce bounds the writes under way; deciding goes on meanwhile.
const writesAtOnce = 32

// New returns a scheduler; Run runs it.
func New(cfg Config) *Scheduler {
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Profile == nil {
		cfg.Profile = core.NewProfile(plugins.Default()...)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	return &Scheduler{
		cfg: cfg, cluster: core.NewCluster(), queue: queue.New(), evicting: map[types.UID]bool{},
		inbox: make(chan func()), writes: make(chan struct{}, writesAtOnce),
	}
}

// Run schedules until ctx ends. Bindings under way at the end are seen through or not: the next start reads what became of
// them.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.watch(ctx); err != nil {
		return err
	}
	for {
		// What has happened is taken in before anything is decided.
		select {
		case f := <-s.inbox:
			f()
			continue
		case <-ctx.Done():
			return nil
		default:
		}
		it, wait := s.queue.Next(s.cfg.Clock.Now())
		if it != nil {
			s.attempt(ctx, it)
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = s.cfg.Clock.After(wait)
		}
		select {
		case f := <-s.inbox:
			f()
		case <-timer:
		case <-ctx.Done():
			return nil
		}
	}
}

// attempt decides on one pod and starts what follows from it.
func (s *Scheduler) attempt(ctx context.Context, it *queue.Item) {
	pod, view := it.Pod, s.cluster.View()
	if len(pod.Spec.TopologySpreadConstraints) == 0 {
		view.Siblings = s.related.siblings(pod.Pod)
	}
	opts := core.Options{Start: s.start, Promised: s.cluster.Nominated(pod.UID), Pick: s.cfg.Pick}
	d := s.cfg.Profile.Schedule(pod, view, opts)
	if len(view.Nodes) > 0 {
		s.start = (s.start + d.Evaluated) % len(view.Nodes)
	}
	if d.Node == "" {
		s.refuse(ctx, pod, view, &d, opts)
		return
	}
	if opts.Promised != d.Node {
		s.promise(pod, "")
	}
	s.cluster.Assume(pod, d.Node)
	s.background(ctx, func() {
		err := s.bind(ctx, pod, d.Node)
		s.report(ctx, func() { s.bound(pod, d.Node, err) })
	})
}

// refuse parks a pod for which there is no node, after looking for one where less important pods can be evicted.
func (s *Scheduler) refuse(ctx context.Context, pod *core.Pod, view core.View, d *core.Decision, opts core.Options) {
	message := d.Diagnosis.Message()
	s.queue.Park(pod.UID, d.Diagnosis.Plugins, s.cfg.Clock.Now())
	promised := opts.Promised
	if _, busy := s.evicting[pod.UID]; busy {
		s.evicting[pod.UID] = true
	} else {
		p := s.cfg.Profile.Preempt(pod, view, d, s.related.budgets(), opts)
		if p.Note != "" {
			message += " " + p.Note
		}
		if p.Node != "" || p.Useless {
			promised = p.Node
		}
		s.promise(pod, promised)
		if p.Node != "" {
			s.evict(ctx, pod, view, &p)
		}
	}
	s.background(ctx, func() { s.explain(ctx, pod, message, promised) })
}

// background runs f once fewer than writesAtOnce others run.
func (s *Scheduler) background(ctx context.Context, f func()) {
	go func() {
		select {
		case s.writes <- struct{}{}:
			defer func() { <-s.writes }()
			f()
		case <-ctx.Done():
		}
	}()
}

// report runs f in the loop.
func (s *Scheduler) report(ctx context.Context, f func()) {
	select {
	case s.inbox <- f:
	case <-ctx.Done():
	}
}

// bound takes in how a binding ended.
func (s *Scheduler) bound(pod *core.Pod, node string, err error) {
	if err == nil {
		s.queue.Remove(pod.UID)
		s.cfg.Events.Event(pod.Pod, corev1.EventTypeNormal, "Scheduled",
			fmt.Sprintf("Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, node))
		return
	}
	s.cfg.Logger.Warn("binding failed", "kind", "Pod", "namespace", pod.Namespace, "name", pod.Name, "node", node, "err", err)
	if !s.cluster.Assumed(pod.UID) {
		return // it was observed on a node, or it is gone
	}
	s.cluster.Forget(pod.UID)
	s.promise(pod, pod.Status.NominatedNodeName)
	s.queue.Failed(pod.UID, s.cfg.Clock.Now())
	s.wake(&core.Change{OldPod: pod})
}
