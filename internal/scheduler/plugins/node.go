package plugins

import (
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/scheduler/core"
)

// NodeUnschedulable keeps pods off cordoned nodes unless they tolerate the taint that says the same.
type NodeUnschedulable struct{}

// Name implements core.Plugin.
func (NodeUnschedulable) Name() string { return "NodeUnschedulable" }

// Filter implements core.Filter.
func (NodeUnschedulable) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	if !node.Object.Spec.Unschedulable {
		return nil
	}
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	if tolerated(pod.Spec.Tolerations, &cordon) {
		return nil
	}
	return &core.Rejection{Reasons: []string{"node(s) were unschedulable"}, Final: true}
}

// NodeName keeps a pod that names its node off all others. (Such pods normally never reach the scheduler.)
type NodeName struct{}

// Name implements core.Plugin.
func (NodeName) Name() string { return "NodeName" }

// Filter implements core.Filter.
func (NodeName) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	if pod.Spec.NodeName == "" || pod.Spec.NodeName == node.Name {
		return nil
	}
	return &core.Rejection{Reasons: []string{"node(s) didn't match the requested node name"}, Final: true}
}

// NodePorts keeps two pods that want the same host port apart.
type NodePorts struct{}

// Name implements core.Plugin.
func (NodePorts) Name() string { return "NodePorts" }

// Filter implements core.Filter.
func (NodePorts) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	for _, want := range pod.Ports {
		for _, other := range node.Pods {
			for _, held := range other.Ports {
				if want.Conflicts(held) {
					return &core.Rejection{Reasons: []string{"node(s) didn't have free ports for the requested pod ports"}}
				}
			}
		}
	}
	return nil
}
