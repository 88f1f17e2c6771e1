package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// TaintNodesByCondition taints new nodes as not ready, so that no pod gets there before the node says that it is.
type TaintNodesByCondition struct{ validateNothing }

// NewTaintNodesByCondition returns the plugin.
func NewTaintNodesByCondition() *TaintNodesByCondition { return &TaintNodesByCondition{} }

// Name implements Plugin.
func (*TaintNodesByCondition) Name() string { return "TaintNodesByCondition" }

// Admit implements Plugin.
func (*TaintNodesByCondition) Admit(_ context.Context, op *Operation) error {
	if op.Verb != opCreate || !op.on("", "nodes") {
		return nil
	}
	node, ok := op.Object.(*corev1.Node)
	if !ok {
		return op.unexpected(op.Object)
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
		node.Spec.Taints = append(node.Spec.Taints, taint)
	}
	return nil
}
