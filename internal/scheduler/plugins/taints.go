package plugins

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"coracle.dev/coracle/internal/scheduler/core"
)

// TaintToleration keeps pods off nodes whose taints they don't tolerate, and prefers nodes with few taints of the soft kind.
type TaintToleration struct{}

// Name implements core.Plugin.
func (TaintToleration) Name() string { return "TaintToleration" }

// Filter implements core.Filter.
func (TaintToleration) Filter(_ any, pod *core.Pod, node *core.Node) *core.Rejection {
	if untolerated(pod, node) != nil {
		return &core.Rejection{Reasons: []string{"node(s) had untolerated taint(s)"}, Final: true}
	}
	return nil
}

// untolerated returns the first taint that keeps the pod off the node.
func untolerated(pod *core.Pod, node *core.Node) *corev1.Taint {
	for i := range node.Object.Spec.Taints {
		taint := &node.Object.Spec.Taints[i]
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerated(pod.Spec.Tolerations, taint) {
			return taint
		}
	}
	return nil
}

// Score counts the soft taints that the pod does not tolerate.
func (TaintToleration) Score(_ any, pod *core.Pod, node *core.Node) int64 {
	var n int64
	for i := range node.Object.Spec.Taints {
		taint := &node.Object.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule && !tolerated(pod.Spec.Tolerations, taint) {
			n++
		}
	}
	return n
}

// Normalize implements core.Normalizer: the fewest taints win.
func (TaintToleration) Normalize(scores []int64) { normalize(scores, true) }

func tolerated(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	for i := range tolerations {
		if tolerations[i].ToleratesTaint(klog.Background(), taint, false) {
			return true
		}
	}
	return false
}

// normalize scales scores so that the highest is MaxScore; reverse makes the lowest the best.
func normalize(scores []int64, reverse bool) {
	var highest int64
	for _, s := range scores {
		highest = max(highest, s)
	}
	for i, s := range scores {
		switch {
		case highest == 0 && reverse:
			scores[i] = core.MaxScore
		case highest == 0:
			scores[i] = 0
		case reverse:
			scores[i] = core.MaxScore - core.MaxScore*s/highest
		default:
			scores[i] = core.MaxScore * s / highest
		}
	}
}
