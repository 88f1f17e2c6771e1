package job

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// track counts the pods that have ended (see the package comment) and ends the job if it may.
func (s *sync) track() {
	s.countFreed()
	full := false
	for _, pod := range s.pods {
		if !tracked(pod) || !s.mayFree(pod) {
			continue
		}
		if full = s.uncountedTotal() >= most; full {
			break
		}
		s.release = append(s.release, pod)
		s.remember(pod)
	}
	if s.indexed() {
		st := &s.job.Status
		st.Succeeded, st.CompletedIndexes = int32(s.done.total()), s.done.String()
		st.FailedIndexes = nil
		if s.perIndex() {
			text := s.lost.String()
			st.FailedIndexes = &text
		}
	}
	if !full {
		s.finish()
	}
}

// countFreed moves the pods without finalizer from the list to the counters.
func (s *sync) countFreed() {
	held := map[types.UID]bool{}
	for _, pod := range s.pods {
		held[pod.UID] = held[pod.UID] || tracked(pod)
	}
	st := &s.job.Status
	move := func(list []types.UID, counter *int32) []types.UID {
		left := slices.DeleteFunc(slices.Clone(list), func(uid types.UID) bool { return !held[uid] })
		*counter += int32(len(list) - len(left))
		return left
	}
	u := st.UncountedTerminatedPods
	u.Succeeded = move(u.Succeeded, &st.Succeeded)
	u.Failed = move(u.Failed, &st.Failed)
}

func (s *sync) uncountedTotal() int {
	u := s.job.Status.UncountedTerminatedPods
	return len(u.Succeeded) + len(u.Failed)
}

// mayFree tells whether nothing more depends on the pod being there.
func (s *sync) mayFree(pod *corev1.Pod) bool {
	if s.job.DeletionTimestamp != nil || s.end != nil || pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if !s.hasFailed(pod) {
		return false
	}
	waits := s.delayed[indexOf(pod)]
	return waits == nil || waits.UID != pod.UID
}

// remember notes the pod's end in the status. When the job fails, whatever still runs counts as failed.
func (s *sync) remember(pod *corev1.Pod) {
	u := s.job.Status.UncountedTerminatedPods
	switch {
	case pod.Status.Phase == corev1.PodSucceeded && !s.uncountedFailed[pod.UID]:
		// Of an indexed job the index is already in completedIndexes, which is enough not to count it twice.
		if !s.indexed() && !s.uncountedSucceeded[pod.UID] {
			u.Succeeded = append(u.Succeeded, pod.UID)
		}
	case s.hasFailed(pod) || (s.end != nil && s.end.Type != batchv1.JobSuccessCriteriaMet):
		if s.uncountedFailed[pod.UID] || !s.valid(pod) {
			return
		}
		if _, counts := s.failurePolicy(pod); counts {
			u.Failed = append(u.Failed, pod.UID)
		}
	}
}
