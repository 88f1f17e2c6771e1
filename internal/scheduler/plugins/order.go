package plugins

import "coracle.dev/coracle/internal/scheduler/core"

// Default returns the default profile's plugins in the order in which they filter, with upstream's weights. Cheap rules that
// reject many nodes come first.
func Default() []core.Weighted {
	return []core.Weighted{
		{Plugin: NodeUnschedulable{}},
		{Plugin: NodeName{}},
		{Plugin: TaintToleration{}, Weight: 3},
		{Plugin: NodeAffinity{}, Weight: 2},
		{Plugin: NodePorts{}},
		{Plugin: NodeResourcesFit{}, Weight: 1},
		{Plugin: PodTopologySpread{}, Weight: 2},
		{Plugin: InterPodAffinity{}, Weight: 2},
		{Plugin: NodeResourcesBalancedAllocation{}, Weight: 1},
		{Plugin: ImageLocality{}, Weight: 1},
	}
}
