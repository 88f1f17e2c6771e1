package pods

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeletionCost is the annotation by which users say which pods to keep: those with a higher cost.
const DeletionCost = "controller.kubernetes.io/pod-deletion-cost"

// DeleteFirst returns the pods in the order in which they should go when there are too many, the order upstream's replica set
// controller uses: what does least work first. neighbours are the pods among which spreading over nodes is judged (those of
// the same deployment); pods that share a node with more of their ready neighbours go earlier. Ages are compared on a
// logarithmic scale, so that pods of about the same age go in an arbitrary but stable order. The argument is not changed.
func DeleteFirst(candidates []*corev1.Pod, neighbours []*corev1.Pod, now time.Time) []*corev1.Pod {
	onNode := map[string]int{}
	for _, p := range neighbours {
		if Active(p) && Ready(p) {
			onNode[p.Spec.NodeName]++
		}
	}
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b *corev1.Pod) int { return compare(a, b, onNode, now) })
	return sorted
}

func compare(a, b *corev1.Pod, onNode map[string]int, now time.Time) int {
	ready := Ready(a)
	if c := cmp.Or(
		first(a.Spec.NodeName == "", b.Spec.NodeName == ""),
		cmp.Compare(phaseOrder(a), phaseOrder(b)),
		first(!ready, !Ready(b)),
		cmp.Compare(deletionCost(a), deletionCost(b)),
		cmp.Compare(onNode[b.Spec.NodeName], onNode[a.Spec.NodeName]),
	); c != 0 {
		return c
	}
	if ready {
		if c := younger(readyTime(a), readyTime(b), now, a, b); c != 0 {
			return c
		}
	}
	if c := cmp.Or(
		cmp.Compare(restarts(b.Status.ContainerStatuses), restarts(a.Status.ContainerStatuses)),
		cmp.Compare(restarts(b.Status.InitContainerStatuses), restarts(a.Status.InitContainerStatuses)),
	); c != 0 {
		return c
	}
	return younger(a.CreationTimestamp, b.CreationTimestamp, now, a, b)
}

// first orders what has the property before what has not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func phaseOrder(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	case corev1.PodPending, corev1.PodSucceeded, corev1.PodFailed:
	}
	return 0
}

func deletionCost(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Annotations[DeletionCost], 10, 32)
	if err != nil {
		return 0 // validation keeps others out; a bad value counts as none
	}
	return int32(n)
}

// younger orders a later time before an earlier one, no time at all before both. Times of the same magnitude of age are
// ordered by UID.
func younger(ta, tb metav1.Time, now time.Time, a, b *corev1.Pod) int {
	if ta.Equal(&tb) {
		return 0
	}
	if ta.IsZero() || tb.IsZero() {
		return first(ta.IsZero(), tb.IsZero())
	}
	return cmp.Or(
		cmp.Compare(magnitude(now.Sub(ta.Time)), magnitude(now.Sub(tb.Time))),
		strings.Compare(string(a.UID), string(b.UID)),
	)
}

func magnitude(age time.Duration) int64 {
	if age <= 0 {
		return -1
	}
	return int64(math.Log2(float64(age)))
}

func readyTime(p *corev1.Pod) metav1.Time {
	if c := Condition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

func restarts(statuses []corev1.ContainerStatus) int32 {
	var most int32
	for _, s := range statuses {
		most = max(most, s.RestartCount)
	}
	return most
}
