package disruption

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// evictionTimeout is how long the API server's note of an eviction counts when the pod is not deleted.
const evictionTimeout = 2 * time.Minute

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	read, ok := reconcile.Get[*policyv1.PodDisruptionBudget](v, kinds.PodDisruptionBudgets(), key.Namespace, key.Name)
	if !ok {
		return p, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(read.Spec.Selector)
	if err != nil {
		return p, fmt.Errorf("reading the selector of %s: %w", key, err)
	}
	b := read.DeepCopy()
	var mine []*corev1.Pod
	for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), b.Namespace) {
		if selector.Matches(labels.Set(pod.Labels)) && !pods.Finished(pod) {
			mine = append(mine, pod)
		}
	}
	if len(mine) == 0 {
		p.Events = append(p.Events, event(b, corev1.EventTypeNormal, "NoPods", "No matching pods found"))
	}
	p.Again(forgetEvictions(b, mine, v.Now()))
	expected, desired, err := demand(v, b, mine)
	if err != nil {
		p.Events = append(p.Events, event(b, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed",
			fmt.Sprintf("Failed to calculate the number of expected pods: %v", err)))
		fail(b, err, v.Now())
	} else {
		report(b, expected, desired, healthy(b, mine), v.Now())
	}
	if !equality.Semantic.DeepEqual(read.Status, b.Status) {
		p.Add(reconcile.UpdatingStatus(kinds.PodDisruptionBudgets(), b))
	}
	if len(mine) == 0 && len(p.Groups) == 0 {
		p.Events = nil // told before
	}
	return p, nil
}

// forgetEvictions takes pods that are gone, are being deleted, or whose eviction came to nothing off the API server's list. It
// returns when the next one is due.
func forgetEvictions(b *policyv1.PodDisruptionBudget, mine []*corev1.Pod, now time.Time) (next time.Duration) {
	for name, at := range b.Status.DisruptedPods {
		i := slices.IndexFunc(mine, func(pod *corev1.Pod) bool { return pod.Name == name })
		left := at.Add(evictionTimeout).Sub(now)
		if i < 0 || mine[i].DeletionTimestamp != nil || left <= 0 {
			delete(b.Status.DisruptedPods, name)
			continue
		}
		if next == 0 || left < next {
			next = left
		}
	}
	return next
}

// demand returns how many pods there should be and how many must stay healthy.
func demand(v reconcile.View, b *policyv1.PodDisruptionBudget, mine []*corev1.Pod) (expected, desired int32, err error) {
	switch spec := b.Spec; {
	case spec.MaxUnavailable != nil:
		if expected, err = scaleOfAll(v, mine); err != nil {
			return 0, 0, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(expected), true)
		if err != nil {
			return 0, 0, fmt.Errorf("reading maxUnavailable: %w", err)
		}
		return expected, max(0, expected-int32(n)), nil
	case spec.MinAvailable != nil && spec.MinAvailable.Type == intstr.String:
		if expected, err = scaleOfAll(v, mine); err != nil {
			return 0, 0, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(expected), true)
		if err != nil {
			return 0, 0, fmt.Errorf("reading minAvailable: %w", err)
		}
		return expected, int32(n), nil
	case spec.MinAvailable != nil:
		return int32(len(mine)), spec.MinAvailable.IntVal, nil
	}
	return int32(len(mine)), 0, nil
}

// scaleOfAll adds up the workloads behind the pods. Pods without a controller are not counted.
func scaleOfAll(v reconcile.View, mine []*corev1.Pod) (int32, error) {
	seen := map[types.UID]bool{}
	var total int32
	for _, pod := range mine {
		if metav1.GetControllerOfNoCopy(pod) == nil {
			continue
		}
		uid, scale, ok := workloadOf(v, pod)
		if !ok || scale < 0 {
			return 0, fmt.Errorf("found no controllers for pod %q", pod.Name)
		}
		if !seen[uid] {
			seen[uid] = true
			total += scale
		}
	}
	return total, nil
}

// healthy counts the ready pods that nobody is about to evict.
func healthy(b *policyv1.PodDisruptionBudget, mine []*corev1.Pod) (n int32) {
	for _, pod := range mine {
		_, evicted := b.Status.DisruptedPods[pod.Name]
		if pod.DeletionTimestamp == nil && !evicted && pods.Ready(pod) {
			n++
		}
	}
	return n
}

func report(b *policyv1.PodDisruptionBudget, expected, desired, current int32, now time.Time) {
	s := &b.Status
	s.ExpectedPods, s.DesiredHealthy, s.CurrentHealthy = expected, desired, current
	s.DisruptionsAllowed = max(0, current-desired)
	if expected <= 0 {
		s.DisruptionsAllowed = 0
	}
	s.ObservedGeneration = b.Generation
	c := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionTrue, Reason: policyv1.SufficientPodsReason,
	}
	if s.DisruptionsAllowed == 0 {
		c.Status, c.Reason = metav1.ConditionFalse, policyv1.InsufficientPodsReason
	}
	set(b, c, now)
}

// fail allows no eviction while the expected number is not known.
func fail(b *policyv1.PodDisruptionBudget, err error, now time.Time) {
	b.Status.DisruptionsAllowed = 0
	b.Status.ObservedGeneration = b.Generation
	set(b, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: err.Error(),
	}, now)
}

func set(b *policyv1.PodDisruptionBudget, c metav1.Condition, now time.Time) {
	c.ObservedGeneration, c.LastTransitionTime = b.Generation, metav1.NewTime(now)
	for i := range b.Status.Conditions {
		old := &b.Status.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
		return
	}
	b.Status.Conditions = append(b.Status.Conditions, c)
}

func event(b *policyv1.PodDisruptionBudget, kind, reason, message string) reconcile.Event {
	return reconcile.Event{
		Regarding: reconcile.Ref(kinds.PodDisruptionBudget(), b), Type: kind, Reason: reason, Message: message,
	}
}
