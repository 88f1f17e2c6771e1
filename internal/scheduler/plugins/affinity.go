package plugins

import (
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"coracle.dev/coracle/internal/scheduler/core"
)

// NodeAffinity obeys nodeSelector and required node affinity, and prefers what the pod prefers.
type NodeAffinity struct{}

// Name implements core.Plugin.
func (NodeAffinity) Name() string { return "NodeAffinity" }

// preferences is what Prepare hands to Score; nil when the pod prefers nothing.
type preferences struct {
	terms *nodeaffinity.PreferredSchedulingTerms
}

// Prepare implements core.Preparer.
func (NodeAffinity) Prepare(pod *core.Pod, _ core.View) (any, *core.Rejection) {
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) == 0 {
		return preferences{}, nil
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return nil, &core.Rejection{Reasons: []string{"invalid preferred node affinity: " + err.Error()}, Final: true}
	}
	return preferences{terms: terms}, nil
}

// Filter implements core.Filter.
func (NodeAffinity) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	match, err := pod.Required.Match(node.Object)
	switch {
	case err != nil:
		return &core.Rejection{Reasons: []string{"invalid node affinity: " + err.Error()}, Final: true}
	case !match:
		return &core.Rejection{Reasons: []string{"node(s) didn't match Pod's node affinity/selector"}, Final: true}
	}
	return nil
}

// Score implements core.Scorer: the sum of the weights of the preferences that the node meets.
func (NodeAffinity) Score(state any, _ *core.Pod, node *core.Node) int64 {
	if p, ok := state.(preferences); ok && p.terms != nil {
		return p.terms.Score(node.Object)
	}
	return 0
}

// Normalize implements core.Normalizer.
func (NodeAffinity) Normalize(scores []int64) { normalize(scores, false) }
