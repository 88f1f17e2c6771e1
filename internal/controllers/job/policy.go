package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// rule is the first rule of a pod failure policy that a failed pod matches.
type rule struct {
	action batchv1.PodFailurePolicyAction
	index  int
	// One of the two tells what matched.
	container *corev1.ContainerStatus
	condition *corev1.PodCondition
}

// failurePolicy returns the rule that the pod matches, or nil, and whether the failure counts.
func (s *sync) failurePolicy(pod *corev1.Pod) (r *rule, counts bool) {
	r = matchPolicy(s.job.Spec.PodFailurePolicy, pod)
	return r, r == nil || r.action != batchv1.PodFailurePolicyActionIgnore
}

// failJobMessage tells why the pod fails the whole job, "" when it does not.
func (s *sync) failJobMessage(pod *corev1.Pod) string {
	if s.job.Spec.PodFailurePolicy == nil || !s.hasFailed(pod) {
		return ""
	}
	r, _ := s.failurePolicy(pod)
	switch {
	case r == nil || r.action != batchv1.PodFailurePolicyActionFailJob:
		return ""
	case r.container != nil:
		return fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d matching %s rule at index %d",
			r.container.Name, pod.Namespace, pod.Name, r.container.State.Terminated.ExitCode, r.action, r.index)
	}
	return fmt.Sprintf("Pod %s/%s has condition %s matching %s rule at index %d",
		pod.Namespace, pod.Name, r.condition.Type, r.action, r.index)
}

func matchPolicy(policy *batchv1.PodFailurePolicy, pod *corev1.Pod) *rule {
	if policy == nil {
		return nil
	}
	for i := range policy.Rules {
		r := &policy.Rules[i]
		if r.OnExitCodes != nil {
			if c := matchExit(r.OnExitCodes, pod); c != nil {
				return &rule{action: r.Action, index: i, container: c}
			}
			continue
		}
		if c := matchCondition(r.OnPodConditions, pod); c != nil {
			return &rule{action: r.Action, index: i, condition: c}
		}
	}
	return nil
}

// matchExit finds a container that ended with an exit code other than 0 that the rule names.
func matchExit(r *batchv1.PodFailurePolicyOnExitCodesRequirement, pod *corev1.Pod) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			c := &list[i]
			if c.State.Terminated == nil || c.State.Terminated.ExitCode == 0 ||
				(r.ContainerName != nil && *r.ContainerName != c.Name) {
				continue
			}
			listed := slices.Contains(r.Values, c.State.Terminated.ExitCode)
			if (r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && listed) ||
				(r.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn && !listed) {
				return c
			}
		}
	}
	return nil
}

func matchCondition(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		for _, p := range patterns {
			if p.Type == c.Type && p.Status == c.Status {
				return c
			}
		}
	}
	return nil
}

// successPolicy tells which rule the succeeded indexes fulfil, "" when none.
func successPolicy(policy *batchv1.SuccessPolicy, done intervals, completions int) string {
	if policy == nil || len(done) == 0 {
		return ""
	}
	for i, r := range policy.Rules {
		have := done.total()
		need := 0
		if r.SucceededIndexes != nil {
			wanted := parseIntervals(*r.SucceededIndexes, completions)
			if len(wanted) == 0 {
				continue
			}
			have, need = done.overlap(wanted), wanted.total()
		}
		if r.SucceededCount != nil {
			need = int(*r.SucceededCount)
		}
		if need > 0 && have >= need {
			return fmt.Sprintf("Matched rules at index %d", i)
		}
	}
	return ""
}
