package plugins

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/scheduler/core"
)

// NodeResourcesFit keeps a node's pods within what it can allocate, and prefers the emptiest node (upstream's default
// strategy, LeastAllocated over CPU and memory).
type NodeResourcesFit struct{}

// Name implements core.Plugin.
func (NodeResourcesFit) Name() string { return "NodeResourcesFit" }

// Filter implements core.Filter.
func (NodeResourcesFit) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	var reasons []string
	final := false
	lacks := func(name corev1.ResourceName, reason string) {
		want := pod.Requests.Of(name)
		if want == 0 || want <= node.Allocatable.Of(name)-node.Requested.Of(name) {
			return
		}
		reasons = append(reasons, reason)
		// Evicting other pods can't help when the node could not hold the pod even empty. The number of pods is left out, as
		// upstream leaves it out.
		final = final || name != corev1.ResourcePods && want > node.Allocatable.Of(name)
	}
	lacks(corev1.ResourcePods, "Too many pods")
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		lacks(name, "Insufficient "+string(name))
	}
	extended := make([]corev1.ResourceName, 0, len(pod.Requests.Extended))
	for name := range pod.Requests.Extended {
		extended = append(extended, name)
	}
	slices.Sort(extended)
	for _, name := range extended {
		lacks(name, "Insufficient "+string(name))
	}
	if len(reasons) == 0 {
		return nil
	}
	return &core.Rejection{Reasons: reasons, Final: final}
}

// Score implements core.Scorer: the mean share of CPU and memory that stays free.
func (NodeResourcesFit) Score(_ any, pod *core.Pod, node *core.Node) int64 {
	var sum, weights int64
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		capacity := node.Allocatable.Of(name)
		if capacity == 0 {
			continue
		}
		weights++
		if used := node.Assumed.Of(name) + pod.Assumed.Of(name); used <= capacity {
			sum += (capacity - used) * core.MaxScore / capacity
		}
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}

// NodeResourcesBalancedAllocation prefers nodes whose CPU and memory the pod uses up evenly.
type NodeResourcesBalancedAllocation struct{}

// Name implements core.Plugin.
func (NodeResourcesBalancedAllocation) Name() string { return "NodeResourcesBalancedAllocation" }

// Score implements core.Scorer: how much the pod improves or worsens the balance, around 75.
func (NodeResourcesBalancedAllocation) Score(_ any, pod *core.Pod, node *core.Node) int64 {
	if pod.Requests.MilliCPU == 0 && pod.Requests.Memory == 0 {
		return 0 // a pod that asks for nothing says nothing about balance
	}
	after := balance(node, pod.Requests)
	before := balance(node, core.Resources{})
	return core.MaxScore/2 + (core.MaxScore/2+after-before)/2
}

// balance scores how even a node's CPU and memory are used with extra on it: MaxScore when equally.
func balance(node *core.Node, extra core.Resources) int64 {
	if node.Allocatable.MilliCPU == 0 || node.Allocatable.Memory == 0 {
		return core.MaxScore
	}
	share := func(used, capacity int64) float64 { return min(float64(used)/float64(capacity), 1) }
	cpu := share(node.Requested.MilliCPU+extra.MilliCPU, node.Allocatable.MilliCPU)
	mem := share(node.Requested.Memory+extra.Memory, node.Allocatable.Memory)
	return int64((1 - math.Abs(cpu-mem)/2) * float64(core.MaxScore))
}
