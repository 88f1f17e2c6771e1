package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	// start is where the next search through the nodes begins.
	start   int
	results chan result
	// writes bounds how many writes are under way.
	writes chan struct{}
}

// result tells the loop how a binding ended.
type result struct {
	pod  *core.Pod
	node string
	err  error
}

// writesAtOnce bounds the writes under way; deciding goes on meanwhile.
const writesAtOnce = 32

func pods() schema.GroupResource  { return schema.GroupResource{Resource: "pods"} }
func nodes() schema.GroupResource { return schema.GroupResource{Resource: "nodes"} }

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
		cfg: cfg, cluster: core.NewCluster(), queue: queue.New(),
		results: make(chan result), writes: make(chan struct{}, writesAtOnce),
	}
}

// Run schedules until ctx ends. Bindings under way at the end are seen through or not: the next start reads what became of
// them.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nodeEvents, err := s.follow(ctx, nodes())
	if err != nil {
		return err
	}
	podEvents, err := s.follow(ctx, pods())
	if err != nil {
		return err
	}
	// The first batches are all there was at the start; deciding on half of it would park pods that have a place.
	s.observeNodes(<-nodeEvents)
	s.observePods(<-podEvents)
	for {
		// What has happened is taken in before anything is decided.
		select {
		case batch := <-nodeEvents:
			s.observeNodes(batch)
			continue
		case batch := <-podEvents:
			s.observePods(batch)
			continue
		case r := <-s.results:
			s.bound(r)
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
		case batch := <-nodeEvents:
			s.observeNodes(batch)
		case batch := <-podEvents:
			s.observePods(batch)
		case r := <-s.results:
			s.bound(r)
		case <-timer:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow delivers a kind's changes, beginning with everything there is at the time of a consistent read.
func (s *Scheduler) follow(ctx context.Context, gr schema.GroupResource) (<-chan []client.Event, error) {
	cache, err := s.cfg.Client.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, fmt.Errorf("scheduler: cache of %s: %w", gr, err)
	}
	if err := cache.Sync(ctx); err != nil {
		return nil, fmt.Errorf("scheduler: reading %s: %w", gr, err)
	}
	snap, stream := cache.Follow()
	var all []client.Event
	for obj := range snap.All("") {
		all = append(all, client.Event{Type: client.Added, Object: obj})
	}
	out := make(chan []client.Event, 1)
	out <- all
	go func() {
		defer stream.Close()
		for {
			batch, err := stream.Next(ctx)
			if err != nil {
				return // only when ctx ends
			}
			select {
			case out <- batch:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (s *Scheduler) observeNodes(batch []client.Event) {
	for _, e := range batch {
		node, ok := e.Object.(*corev1.Node)
		if !ok {
			continue
		}
		if e.Type == client.Deleted {
			s.cluster.RemoveNode(node.Name)
			continue
		}
		old, _ := e.Old.(*corev1.Node)
		s.cluster.SetNode(node)
		if c, better := nodeChange(old, node); better {
			c.node, _ = s.cluster.Node(node.Name)
			s.queue.Wake(c.helps(s.cfg.Profile), s.cfg.Clock.Now())
		}
	}
}

func (s *Scheduler) observePods(batch []client.Event) {
	for _, e := range batch {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		old, _ := e.Old.(*corev1.Pod)
		if e.Type == client.Deleted {
			s.queue.Remove(pod.UID)
			s.cluster.RemovePod(pod.UID)
			if pod.Spec.NodeName != "" {
				s.wake(podGone())
			}
			continue
		}
		if old != nil && old.UID != pod.UID { // deleted and made again between two views
			s.queue.Remove(old.UID)
			s.cluster.RemovePod(old.UID)
			old = nil
		}
		p := core.NewPod(pod)
		s.cluster.SetPod(p)
		if !s.waits(pod) {
			s.queue.Remove(pod.UID)
			if old != nil && old.Spec.NodeName != "" && ended(pod) && !ended(old) {
				s.wake(podGone())
			}
			continue
		}
		if !s.cluster.Assumed(pod.UID) {
			s.queue.Add(p, old != nil && podHelpsItself(old, pod), s.cfg.Clock.Now())
		}
	}
}

// waits tells whether the pod is this scheduler's to place.
func (s *Scheduler) waits(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && !ended(pod) &&
		len(pod.Spec.SchedulingGates) == 0 && pod.Spec.SchedulerName == s.cfg.Name
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (s *Scheduler) wake(c change) { s.queue.Wake(c.helps(s.cfg.Profile), s.cfg.Clock.Now()) }

// attempt decides on one pod and starts what follows from it.
func (s *Scheduler) attempt(ctx context.Context, it *queue.Item) {
	pod, candidates := it.Pod, s.cluster.Nodes()
	d := s.cfg.Profile.Schedule(pod, candidates, core.Options{Start: s.start, Pick: s.cfg.Pick})
	if len(candidates) > 0 {
		s.start = (s.start + d.Evaluated) % len(candidates)
	}
	if d.Node == "" {
		s.queue.Park(pod.UID, d.Diagnosis.Plugins, s.cfg.Clock.Now())
		s.background(ctx, func() { s.explain(ctx, pod, d.Diagnosis.Message()) })
		return
	}
	s.cluster.Assume(pod, d.Node)
	s.background(ctx, func() {
		err := s.bind(ctx, pod, d.Node)
		select {
		case s.results <- result{pod: pod, node: d.Node, err: err}:
		case <-ctx.Done():
		}
	})
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

// bound takes in how a binding ended.
func (s *Scheduler) bound(r result) {
	if r.err == nil {
		s.queue.Remove(r.pod.UID)
		s.cfg.Events.Event(r.pod.Pod, corev1.EventTypeNormal, "Scheduled",
			fmt.Sprintf("Successfully assigned %s/%s to %s", r.pod.Namespace, r.pod.Name, r.node))
		return
	}
	s.cfg.Logger.Warn("binding failed", "kind", "Pod", "namespace", r.pod.Namespace, "name", r.pod.Name, "node", r.node,
		"err", r.err)
	s.cluster.Forget(r.pod.UID)
	s.queue.Failed(r.pod.UID, s.cfg.Clock.Now())
	s.wake(podGone())
}
