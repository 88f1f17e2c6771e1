package scheduler

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/scheduler/core"
)

// change says what about the nodes has become better for pods that found no place.
type change struct {
	// rules are the plugins whose verdict the change could turn; nil means any.
	rules map[string]bool
	// node is the node as it is now, when the change concerns one: a pod that still does not fit it need not be woken.
	node *core.Node
}

// nodeChange compares two states of a node. ok is false when nothing changed that a pod could have waited for.
func nodeChange(old, now *corev1.Node) (change, bool) {
	if old == nil {
		return change{}, true
	}
	rules := map[string]bool{}
	if old.Spec.Unschedulable && !now.Spec.Unschedulable {
		rules["NodeUnschedulable"] = true
	}
	if !equality.Semantic.DeepEqual(old.Spec.Taints, now.Spec.Taints) {
		rules["TaintToleration"] = true
		rules["NodeUnschedulable"] = true
	}
	if !maps.Equal(old.Labels, now.Labels) {
		rules["NodeAffinity"] = true
	}
	if !equality.Semantic.DeepEqual(old.Status.Allocatable, now.Status.Allocatable) {
		rules["NodeResourcesFit"] = true
	}
	return change{rules: rules}, len(rules) > 0
}

// podGone is the change when a pod has left its node: room and ports are free.
func podGone() change {
	return change{rules: map[string]bool{"NodeResourcesFit": true, "NodePorts": true}}
}

// helps judges whether the change could help a pod that the named plugins rejected.
func (c change) helps(profile *core.Profile) func(*core.Pod, map[string]bool) bool {
	return func(pod *core.Pod, rejectedBy map[string]bool) bool {
		if len(c.rules) > 0 && len(rejectedBy) > 0 && !overlap(c.rules, rejectedBy) {
			return false
		}
		return c.node == nil || profile.Fits(pod, c.node) == nil
	}
}

func overlap(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
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
