package job

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
)

// finished tells whether the job has its final condition.
func finished(job *batchv1.Job) bool {
	return holds(job, batchv1.JobComplete) != nil || holds(job, batchv1.JobFailed) != nil
}

// holds returns the job's condition of that type if it is true.
func holds(job *batchv1.Job, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == t && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func (s *sync) condition(t batchv1.JobConditionType, reason, message string) *batchv1.JobCondition {
	at := metav1.NewTime(s.now)
	return &batchv1.JobCondition{
		Type: t, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastProbeTime: at, LastTransitionTime: at,
	}
}

func (s *sync) fail(reason, message string) *batchv1.JobCondition {
	return s.condition(batchv1.JobFailureTarget, reason, message)
}

// judge returns the condition with which the job ends, or nil. What an earlier plan has decided stays; then failures are
// looked for before successes.
func (s *sync) judge() *batchv1.JobCondition {
	if c := holds(s.job, batchv1.JobSuccessCriteriaMet); c != nil {
		return c.DeepCopy()
	}
	if c := holds(s.job, batchv1.JobFailureTarget); c != nil {
		return c.DeepCopy()
	}
	for _, pod := range s.pods {
		if message := s.failJobMessage(pod); message != "" {
			return s.fail(batchv1.JobReasonPodFailurePolicy, message)
		}
	}
	spec := &s.job.Spec
	if (spec.BackoffLimit != nil && s.failed > *spec.BackoffLimit) || s.restartsExceedLimit() {
		return s.fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
	}
	if spec.ActiveDeadlineSeconds != nil && !s.suspended() && s.job.Status.StartTime != nil {
		left := s.job.Status.StartTime.Add(time.Duration(*spec.ActiveDeadlineSeconds) * time.Second).Sub(s.now)
		if left <= 0 {
			return s.fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		}
		s.p.Again(left)
	}
	if !s.indexed() {
		return nil
	}
	if s.perIndex() {
		switch lost := s.lost.total(); {
		case spec.MaxFailedIndexes != nil && lost > int(*spec.MaxFailedIndexes):
			return s.fail(batchv1.JobReasonMaxFailedIndexesExceeded,
				"Job has exceeded the specified maximal number of failed indexes")
		case lost > 0 && lost+s.done.total() >= s.completions():
			return s.fail(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
		}
	}
	if message := successPolicy(spec.SuccessPolicy, s.done, s.completions()); message != "" {
		return s.condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy, message)
	}
	return nil
}

// restartsExceedLimit judges pods that restart their containers in place: their restarts count against the limit.
func (s *sync) restartsExceedLimit() bool {
	limit := s.job.Spec.BackoffLimit
	if s.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure || limit == nil {
		return false
	}
	restarts := int32(0)
	for _, pod := range s.pods {
		if pod.Status.Phase != corev1.PodRunning && pod.Status.Phase != corev1.PodPending {
			continue
		}
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			restarts += c.RestartCount
		}
	}
	if *limit == 0 {
		return restarts > 0
	}
	return restarts >= *limit
}

// complete tells whether enough pods have succeeded and none runs any more. Without a number of completions one success is
// enough.
func (s *sync) complete() bool {
	if len(s.active) > 0 {
		return false
	}
	if s.job.Spec.Completions == nil {
		return s.succeeded > 0
	}
	return s.succeeded >= *s.job.Spec.Completions
}

// noteSuspension keeps the Suspended condition. A pause does not count towards the deadline: the start is forgotten, and set
// anew when the job goes on.
func (s *sync) noteSuspension() {
	st := &s.job.Status
	i := slices.IndexFunc(st.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobSuspended })
	noted := i >= 0 && st.Conditions[i].Status == corev1.ConditionTrue
	if noted == s.suspended() {
		return
	}
	c := s.condition(batchv1.JobSuspended, "JobSuspended", "Job suspended")
	reason := "Suspended"
	st.StartTime = nil
	if !s.suspended() {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "JobResumed", "Job resumed"
		reason = "Resumed"
		at := metav1.NewTime(s.now)
		st.StartTime = &at
	}
	if i >= 0 {
		st.Conditions[i] = *c
	} else {
		st.Conditions = append(st.Conditions, *c)
	}
	s.ended = s.event(corev1.EventTypeNormal, reason, c.Message)
}

// finish adds the interim condition at once and the final one when every pod is counted and none runs.
func (s *sync) finish() {
	if s.end == nil {
		return
	}
	st := &s.job.Status
	if holds(s.job, s.end.Type) == nil {
		st.Conditions = append(st.Conditions, *s.end)
	}
	u := st.UncountedTerminatedPods
	if len(u.Succeeded)+len(u.Failed)+len(s.release)+len(s.active)+len(s.terminating) > 0 {
		return
	}
	final := s.condition(batchv1.JobFailed, s.end.Reason, s.end.Message)
	s.ended = s.event(corev1.EventTypeWarning, s.end.Reason, s.end.Message)
	if s.end.Type == batchv1.JobSuccessCriteriaMet {
		final.Type = batchv1.JobComplete
		st.CompletionTime = &final.LastTransitionTime
		s.ended = s.event(corev1.EventTypeNormal, "Completed", "Job completed")
	}
	st.Conditions = append(st.Conditions, *final)
}

func (s *sync) event(kind, reason, message string) *reconcile.Event {
	return &reconcile.Event{Regarding: reconcile.Ref(kinds.Job(), s.job), Type: kind, Reason: reason, Message: message}
}
