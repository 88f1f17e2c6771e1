package job

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/reconcile/pods"
)

const (
	backoffBase = 10 * time.Second
	backoffMost = 10 * time.Minute
)

// backoff is how long to wait before the next pod: 10 s after a failure, doubling with each further one since the last
// success. It is computed from the pods that are still there.
func (s *sync) backoff() time.Duration {
	var lastSuccess, lastFailure time.Time
	for _, pod := range s.pods {
		if pod.Status.Phase == corev1.PodSucceeded {
			lastSuccess = later(lastSuccess, endOf(pod))
		}
	}
	failures := 0
	for _, pod := range s.pods {
		if at := endOf(pod); s.hasFailed(pod) && at.After(lastSuccess) {
			failures++
			lastFailure = later(lastFailure, at)
		}
	}
	return remaining(failures, lastFailure, s.now)
}

// due returns the indexes that may be tried now, and asks to come back for the first of the others when none may.
func (s *sync) due(indexes []int) []int {
	var now []int
	wait := time.Duration(0)
	for _, i := range indexes {
		left := time.Duration(0)
		if pod := s.delayed[i]; pod != nil {
			counted, ignored := s.failuresBefore(pod)
			left = remaining(counted+ignored, endOf(pod), s.now)
		}
		if left <= 0 {
			now = append(now, i)
			continue
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	s.p.Again(wait)
	return now
}

func remaining(failures int, last, now time.Time) time.Duration {
	if failures == 0 {
		return 0
	}
	d := backoffMost
	if failures < 7 {
		d = min(backoffBase<<(failures-1), backoffMost)
	}
	return max(0, d-now.Sub(last))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// endOf is when the pod ended, as well as it tells: the last container's end, the time it stopped being ready, the time its
// deletion began, or its creation.
func endOf(pod *corev1.Pod) time.Time {
	if at := containersEnd(pod); !at.IsZero() {
		return at
	}
	c := pods.Condition(pod, corev1.PodReady)
	if c != nil && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	if pod.DeletionTimestamp != nil {
		grace := int64(0)
		if g := pod.DeletionGracePeriodSeconds; g != nil {
			grace = *g
		}
		return pod.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	return pod.CreationTimestamp.Time
}

// containersEnd is zero unless all containers (sidecars included) have ended.
func containersEnd(pod *corev1.Pod) time.Time {
	sidecar := func(name string) bool {
		return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
			return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		})
	}
	statuses := slices.Clone(pod.Status.ContainerStatuses)
	for _, c := range pod.Status.InitContainerStatuses {
		if sidecar(c.Name) {
			statuses = append(statuses, c)
		}
	}
	var last time.Time
	for _, c := range statuses {
		if c.State.Terminated == nil || c.State.Terminated.FinishedAt.IsZero() {
			return time.Time{}
		}
		last = later(last, c.State.Terminated.FinishedAt.Time)
	}
	return last
}
