package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ours are the keys of the taints that these controllers put on and take off.
func ours(key string) bool {
	switch key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure,
		corev1.TaintNodePIDPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeUnschedulable:
		return true
	}
	return false
}

// readyTaint returns the key of the taint that the Ready condition asks for, "" when the node is ready. A node that has not
// reported anything yet keeps what it registered with.
func readyTaint(node *corev1.Node) string {
	c := condition(node, corev1.NodeReady)
	switch {
	case c == nil || c.Status == corev1.ConditionTrue:
		return ""
	case c.Status == corev1.ConditionUnknown:
		return corev1.TaintNodeUnreachable
	}
	return corev1.TaintNodeNotReady
}

// withNoSchedule returns the node's taints with the NoSchedule ones that its conditions ask for and no others of ours.
func withNoSchedule(node *corev1.Node, now time.Time) (taints []corev1.Taint, changed bool) {
	wanted := map[string]bool{}
	if key := readyTaint(node); key != "" {
		wanted[key] = true
	}
	for t, key := range map[corev1.NodeConditionType]string{
		corev1.NodeMemoryPressure: corev1.TaintNodeMemoryPressure, corev1.NodeDiskPressure: corev1.TaintNodeDiskPressure,
		corev1.NodePIDPressure: corev1.TaintNodePIDPressure, corev1.NodeNetworkUnavailable: corev1.TaintNodeNetworkUnavailable,
	} {
		if c := condition(node, t); c != nil && c.Status == corev1.ConditionTrue {
			wanted[key] = true
		}
	}
	if node.Spec.Unschedulable {
		wanted[corev1.TaintNodeUnschedulable] = true
	}
	if condition(node, corev1.NodeReady) == nil && has(node, corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule) {
		wanted[corev1.TaintNodeNotReady] = true // from its registration; it must stay until the first report
	}
	return replaceOurs(node, corev1.TaintEffectNoSchedule, wanted, now)
}

// replaceOurs returns the node's taints with exactly the wanted ones of ours of that effect. Those that stay are not touched.
func replaceOurs(node *corev1.Node, effect corev1.TaintEffect, wanted map[string]bool, now time.Time) ([]corev1.Taint, bool) {
	changed := false
	var taints []corev1.Taint
	for _, t := range node.Spec.Taints {
		if t.Effect == effect && ours(t.Key) && !wanted[t.Key] {
			changed = true
			continue
		}
		taints = append(taints, t)
	}
	var missing []string
	for key, want := range wanted {
		if want && !has(node, key, effect) {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	at := metav1.NewTime(now)
	for _, key := range missing {
		taints = append(taints, corev1.Taint{Key: key, Effect: effect, TimeAdded: &at})
	}
	return taints, changed || len(missing) > 0
}

func has(node *corev1.Node, key string, effect corev1.TaintEffect) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key && t.Effect == effect })
}
