package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// defaultTolerationSeconds is how long a pod stays on a node that is not ready or cannot be reached.
const defaultTolerationSeconds = 300

// DefaultTolerationSeconds lets pods that say nothing of it stay on a lost node for a while.
type DefaultTolerationSeconds struct {
	validateNothing
	seconds int64
}

// NewDefaultTolerationSeconds returns the plugin with the given time in seconds.
func NewDefaultTolerationSeconds(seconds int64) *DefaultTolerationSeconds {
	return &DefaultTolerationSeconds{seconds: seconds}
}

// Name implements Plugin.
func (*DefaultTolerationSeconds) Name() string { return "DefaultTolerationSeconds" }

// Admit implements Plugin.
func (p *DefaultTolerationSeconds) Admit(_ context.Context, op *Operation) error {
	if !op.on("", "pods") || op.Verb != opCreate && op.Verb != opUpdate {
		return nil
	}
	pod, ok := op.Object.(*corev1.Pod)
	if !ok {
		return op.unexpected(op.Object)
	}
	given := pod.Spec.Tolerations
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if says(given, key) {
			continue
		}
		seconds := p.seconds
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
	return nil
}

// says tells whether any toleration is about being evicted for the key.
func says(tolerations []corev1.Toleration, key string) bool {
	for _, t := range tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}
