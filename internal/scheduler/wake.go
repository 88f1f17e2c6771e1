package scheduler

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/scheduler/core"
)

// wake lets the plugins that rejected the parked pods say which of them a change could help.
func (s *Scheduler) wake(c *core.Change) {
	s.queue.Wake(func(pod *core.Pod, rejectedBy map[string]bool) bool {
		if c.OldPod != nil && c.OldPod.UID == pod.UID {
			return false // it gave back what it was promised
		}
		c.Namespaces = s.cluster.Namespaces()
		return s.cfg.Profile.Helps(pod, rejectedBy, c)
	}, s.cfg.Clock.Now())
}

// nodeChanged tells whether a node's update is one that a pod can wait for; most only renew its conditions.
func nodeChanged(old, now *corev1.Node) bool {
	return old.Spec.Unschedulable != now.Spec.Unschedulable ||
		!equality.Semantic.DeepEqual(old.Spec.Taints, now.Spec.Taints) ||
		!maps.Equal(old.Labels, now.Labels) ||
		!equality.Semantic.DeepEqual(old.Status.Allocatable, now.Status.Allocatable)
}

// podChanged tells whether what happened to a pod on a node, nil where it is on none, is something that another pod can wait
// for; most updates are its status.
func podChanged(old, now *core.Pod) bool {
	if old == nil || now == nil {
		return old != now
	}
	return !maps.Equal(old.Labels, now.Labels) || now.Requests.Less(old.Requests) ||
		(old.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil)
}

// podHelpsItself tells whether an update of an unassigned pod could make it schedulable.
func podHelpsItself(old, now *corev1.Pod) bool {
	return len(old.Spec.SchedulingGates) != len(now.Spec.SchedulingGates) ||
		!slices.EqualFunc(old.Spec.Tolerations, now.Spec.Tolerations, func(a, b corev1.Toleration) bool {
			return equality.Semantic.DeepEqual(a, b)
		}) ||
		!equality.Semantic.DeepEqual(old.Spec.Containers, now.Spec.Containers) ||
		!equality.Semantic.DeepEqual(old.Spec.NodeSelector, now.Spec.NodeSelector) ||
		!equality.Semantic.DeepEqual(old.Spec.Affinity, now.Spec.Affinity) ||
		!maps.Equal(old.Labels, now.Labels)
}
