package plugins

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/scheduler/core"
)

// Which changes could help the pods that the simpler plugins rejected. A node that has come could help all of them: whether it
// does, its own filters say.

func labelsChanged(c *core.Change) bool {
	return c.NodeChanged() && !maps.Equal(c.OldNode.Labels, c.Node.Labels)
}

func taintsChanged(c *core.Change) bool {
	return c.NodeChanged() && !equality.Semantic.DeepEqual(c.OldNode.Spec.Taints, c.Node.Spec.Taints)
}

// Helps implements core.Waker.
func (NodeUnschedulable) Helps(_ *core.Pod, c *core.Change) bool {
	return c.NodeCame() || taintsChanged(c) || c.NodeChanged() && c.OldNode.Spec.Unschedulable && !c.Node.Spec.Unschedulable
}

// Helps implements core.Waker.
func (NodeName) Helps(_ *core.Pod, c *core.Change) bool { return c.NodeCame() }

// Helps implements core.Waker.
func (TaintToleration) Helps(_ *core.Pod, c *core.Change) bool {
	return c.NodeCame() || taintsChanged(c)
}

// Helps implements core.Waker.
func (NodeAffinity) Helps(_ *core.Pod, c *core.Change) bool { return c.NodeCame() || labelsChanged(c) }

// Helps implements core.Waker.
func (NodePorts) Helps(pod *core.Pod, c *core.Change) bool {
	if c.NodeCame() {
		return true
	}
	return c.PodGone() && slices.ContainsFunc(pod.Ports, func(want core.HostPort) bool {
		return slices.ContainsFunc(c.OldPod.Ports, want.Conflicts)
	})
}

// Helps implements core.Waker.
func (NodeResourcesFit) Helps(_ *core.Pod, c *core.Change) bool {
	switch {
	case c.NodeCame(), c.PodGone():
		return true
	case c.NodeChanged():
		return !equality.Semantic.DeepEqual(c.OldNode.Status.Allocatable, c.Node.Status.Allocatable)
	case c.OldPod != nil && c.Pod != nil:
		return c.Pod.Requests.Less(c.OldPod.Requests)
	}
	return false
}
