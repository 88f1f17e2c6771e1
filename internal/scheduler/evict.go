package scheduler

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/scheduler/core"
)

// evictionsAtOnce bounds the victims of one pod that are written about at once.
const evictionsAtOnce = 8

// evict starts to make the room that was found for a pod. Until it has been told of all victims no others are chosen for it.
func (s *Scheduler) evict(ctx context.Context, pod *core.Pod, view core.View, p *core.Preemption) {
	s.evicting[pod.UID] = false
	outbid := nominatedBelow(pod, view, p.Node)
	for _, other := range outbid {
		s.promise(other, "")
		s.queue.Retry(other.UID, s.cfg.Clock.Now())
	}
	s.background(ctx, func() {
		for _, other := range outbid {
			if err := s.patchStatus(ctx, other, statusPatch{Nominated: new(string)}); err != nil && !apierrors.IsNotFound(err) {
				s.cfg.Logger.Warn("taking back a nomination",
					"kind", "Pod", "namespace", other.Namespace, "name", other.Name, "err", err)
			}
		}
		err := s.evictAll(ctx, pod, p)
		s.report(ctx, func() { s.evicted(pod, err) })
	})
}

// nominatedBelow returns the less important pods that were promised room on the node: it may be theirs no longer.
func nominatedBelow(pod *core.Pod, view core.View, name string) []*core.Pod {
	var list []*core.Pod
	for _, node := range view.Nodes {
		if node.Name != name {
			continue
		}
		for _, other := range node.Nominated {
			if other.UID != pod.UID && other.Priority() < pod.Priority() {
				list = append(list, other)
			}
		}
	}
	return list
}

// evicted takes in that the victims have been told. When the pod was tried meanwhile, what it waited for may have passed.
func (s *Scheduler) evicted(pod *core.Pod, err error) {
	tried := s.evicting[pod.UID]
	delete(s.evicting, pod.UID)
	if err != nil {
		s.cfg.Logger.Warn("preemption failed", "kind", "Pod", "namespace", pod.Namespace, "name", pod.Name, "err", err)
	}
	if tried || err != nil {
		s.queue.Retry(pod.UID, s.cfg.Clock.Now())
	}
}

func (s *Scheduler) evictAll(ctx context.Context, pod *core.Pod, p *core.Preemption) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(evictionsAtOnce)
	for _, victim := range p.Victims {
		if victim.DeletionTimestamp == nil {
			group.Go(func() error { return s.evictOne(ctx, pod, victim, p.Node) })
		}
	}
	return group.Wait()
}

// evictOne marks a victim, deletes it with its own grace and tells its owner for whom.
func (s *Scheduler) evictOne(ctx context.Context, pod, victim *core.Pod, node string) error {
	err := s.patchStatus(ctx, victim, statusPatch{Condition: &corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message: s.cfg.Name + ": preempting to accommodate a higher priority pod",
	}})
	if err == nil {
		_, err = s.cfg.Client.Write(ctx, client.Write{
			Verb: client.Delete, Resource: pods(), Namespace: victim.Namespace, Name: victim.Name,
			Delete: metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &victim.UID}},
		})
	}
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it has gone by itself
		return nil
	case err != nil:
		return fmt.Errorf("evicting pod %s/%s from node %s: %w", victim.Namespace, victim.Name, node, err)
	}
	s.cfg.Events.Event(victim.Pod, corev1.EventTypeNormal, "Preempted",
		fmt.Sprintf("Preempted by pod %s on node %s", pod.UID, node))
	return nil
}
