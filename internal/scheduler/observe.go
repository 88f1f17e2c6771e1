package scheduler

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/scheduler/core"
)

func pods() schema.GroupResource       { return schema.GroupResource{Resource: "pods"} }
func nodes() schema.GroupResource      { return schema.GroupResource{Resource: "nodes"} }
func namespaces() schema.GroupResource { return schema.GroupResource{Resource: "namespaces"} }

// watch takes in all there is and sees to it that changes come into the inbox. Deciding on half of it would park pods that have
// a place.
func (s *Scheduler) watch(ctx context.Context) error {
	var err error
	if s.related, err = readRelated(ctx, s.cfg.Client); err != nil {
		return err
	}
	for _, f := range []struct {
		resource schema.GroupResource
		observe  func(client.Event)
	}{
		{namespaces(), s.observeNamespace}, {nodes(), s.observeNode}, {pods(), s.observePod},
	} {
		if err := s.follow(ctx, f.resource, f.observe); err != nil {
			return err
		}
	}
	return nil
}

// synced returns a cache that holds at least what there is at the time of a consistent read.
func synced(ctx context.Context, c client.Interface, gr schema.GroupResource) (client.Cache, error) {
	cache, err := c.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, fmt.Errorf("scheduler: cache of %s: %w", gr, err)
	}
	if err := cache.Sync(ctx); err != nil {
		return nil, fmt.Errorf("scheduler: reading %s: %w", gr, err)
	}
	return cache, nil
}

// follow lets a kind's objects be observed, at once those that there are.
func (s *Scheduler) follow(ctx context.Context, gr schema.GroupResource, observe func(client.Event)) error {
	cache, err := synced(ctx, s.cfg.Client, gr)
	if err != nil {
		return err
	}
	snap, stream := cache.Follow()
	for obj := range snap.All("") {
		observe(client.Event{Type: client.Added, Object: obj})
	}
	go func() {
		defer stream.Close()
		for {
			batch, err := stream.Next(ctx)
			if err != nil {
				return // only when ctx ends
			}
			s.report(ctx, func() {
				for _, e := range batch {
					observe(e)
				}
			})
		}
	}()
	return nil
}

func (s *Scheduler) observeNamespace(e client.Event) {
	name := e.Object.GetName()
	if e.Type == client.Deleted {
		s.cluster.RemoveNamespace(name)
		return
	}
	if e.Old != nil && maps.Equal(e.Old.GetLabels(), e.Object.GetLabels()) {
		return
	}
	s.cluster.SetNamespace(name, e.Object.GetLabels())
	s.wake(&core.Change{Relabelled: true})
}

func (s *Scheduler) observeNode(e client.Event) {
	node, ok := e.Object.(*corev1.Node)
	if !ok {
		return
	}
	if e.Type == client.Deleted {
		s.cluster.RemoveNode(node.Name)
		s.wake(&core.Change{OldNode: node})
		return
	}
	old, _ := e.Old.(*corev1.Node)
	s.cluster.SetNode(node)
	if old == nil || nodeChanged(old, node) {
		at, _ := s.cluster.Node(node.Name)
		s.wake(&core.Change{OldNode: old, Node: node, At: at})
	}
}

func (s *Scheduler) observePod(e client.Event) {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return
	}
	old, _ := e.Old.(*corev1.Pod)
	if old != nil && (old.UID != pod.UID || e.Type == client.Deleted) { // perhaps made again between two views
		s.forget(old)
		old = nil
	}
	if e.Type == client.Deleted {
		s.forget(pod)
		return
	}
	p := core.NewPod(pod)
	waits := s.waits(pod)
	if !waits {
		s.queue.Remove(pod.UID)
		s.promise(p, "")
	}
	before := s.cluster.Placed(pod.UID)
	s.cluster.SetPod(p)
	if now := s.cluster.Placed(pod.UID); podChanged(before, now) {
		s.wake(&core.Change{OldPod: before, Pod: now})
	}
	if !waits {
		return
	}
	if old == nil || old.Status.NominatedNodeName != pod.Status.NominatedNodeName {
		s.promise(p, pod.Status.NominatedNodeName)
	}
	if !s.cluster.Assumed(pod.UID) {
		s.queue.Add(p, old != nil && podHelpsItself(old, pod), s.cfg.Clock.Now())
	}
}

// forget takes a deleted pod out of everything.
func (s *Scheduler) forget(pod *corev1.Pod) {
	s.queue.Remove(pod.UID)
	s.promise(core.NewPod(pod), "")
	before := s.cluster.Placed(pod.UID)
	s.cluster.RemovePod(pod.UID)
	if before != nil {
		s.wake(&core.Change{OldPod: before})
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

// promise nominates a node for a pod, or takes that back with an empty one. Room that is promised no more may be what others wait
// for.
func (s *Scheduler) promise(pod *core.Pod, node string) {
	old := s.cluster.Nominated(pod.UID)
	if old == node {
		return
	}
	s.cluster.Nominate(pod, node)
	if old != "" {
		s.wake(&core.Change{OldPod: pod})
	}
}
