package pods

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
)

// Finished tells whether the pod's containers have ended for good.
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Active tells whether the pod runs or may still run: neither finished nor being deleted.
func Active(p *corev1.Pod) bool { return !Finished(p) && p.DeletionTimestamp == nil }

// Terminating tells whether the pod is being deleted and its containers may still run.
func Terminating(p *corev1.Pod) bool { return !Finished(p) && p.DeletionTimestamp != nil }

// Condition returns the pod's condition of that type, or nil. It points into the pod.
func Condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Disrupted is the condition, as part of a status patch, by which jobs and users know why a pod was ended.
func Disrupted(reason, message string, now time.Time) map[string]any {
	return map[string]any{
		"type": corev1.DisruptionTarget, "status": corev1.ConditionTrue, "reason": reason, "message": message,
		"lastTransitionTime": metav1.NewTime(now),
	}
}

// Ready tells whether the pod's Ready condition is true.
func Ready(p *corev1.Pod) bool {
	c := Condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// Available tells whether the pod has been ready for at least minReady. When it is ready but not for long enough, left is how
// long that takes yet.
func Available(p *corev1.Pod, minReady time.Duration, now time.Time) (yes bool, left time.Duration) {
	c := Condition(p, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false, 0
	}
	if minReady <= 0 {
		return true, 0
	}
	if c.LastTransitionTime.IsZero() {
		return false, 0
	}
	left = c.LastTransitionTime.Add(minReady).Sub(now)
	return left <= 0, max(left, 0)
}

// FromTemplate returns the pod that a controller creates from its template. Its name will begin with the owner's.
func FromTemplate(t *corev1.PodTemplateSpec, owner metav1.Object, kind schema.GroupVersionKind) *corev1.Pod {
	prefix := owner.GetName() + "-"
	if len(apivalidation.NameIsDNSSubdomain(prefix, true)) > 0 {
		prefix = owner.GetName()
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: prefix, Namespace: owner.GetNamespace(),
			Labels: maps.Clone(t.Labels), Annotations: maps.Clone(t.Annotations), Finalizers: slices.Clone(t.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
		Spec: *t.Spec.DeepCopy(),
	}
}

// Creating returns the write that creates the pod and tells about it on the owner.
func Creating(pod *corev1.Pod, owner corev1.ObjectReference) reconcile.Write {
	w := reconcile.Creating(kinds.Pods(), pod)
	w.Done = &reconcile.Event{
		Regarding: owner, Type: corev1.EventTypeNormal, Reason: "SuccessfulCreate", Message: "Created pod: {name}",
	}
	w.Failed = &reconcile.Event{
		Regarding: owner, Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: "Error creating: {error}",
	}
	return w
}

// Deleting returns the write that deletes the pod and tells about it on the owner.
func Deleting(pod *corev1.Pod, owner corev1.ObjectReference) reconcile.Write {
	w := reconcile.Deleting(kinds.Pods(), pod)
	w.Done = &reconcile.Event{
		Regarding: owner, Type: corev1.EventTypeNormal, Reason: "SuccessfulDelete", Message: "Deleted pod: {name}",
	}
	w.Failed = &reconcile.Event{
		Regarding: owner, Type: corev1.EventTypeWarning, Reason: "FailedDelete", Message: "Error deleting: {error}",
	}
	return w
}

// SlowStart adds the creates in groups of size, twice size and so on. When they all fail for one reason (a quota), few are
// tried. Upstream begins with 1.
func SlowStart(p *reconcile.Plan, creates []reconcile.Write, size int) {
	for ; len(creates) > 0; size *= 2 {
		n := min(size, len(creates))
		p.Add(creates[:n]...)
		creates = creates[n:]
	}
}
