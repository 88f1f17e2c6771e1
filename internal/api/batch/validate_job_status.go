package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func hasCondition(j *batchv1.Job, t batchv1.JobConditionType) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == t && c.Status == corev1.ConditionTrue
	})
}

func lacksCondition(j *batchv1.Job, t batchv1.JobConditionType) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == t && c.Status == corev1.ConditionFalse
	})
}

func isFinished(j *batchv1.Job) bool {
	return hasCondition(j, batchv1.JobComplete) || hasCondition(j, batchv1.JobFailed)
}

func samePtr[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameTime(a, b *metav1.Time) bool { return equality.Semantic.DeepEqual(a, b) }

// statusJudge judges a status write. Any controller may manage a job, so the rules are strict; but each holds only for a status
// that breaks it anew: after a change of the spec a status may be behind it for a while.
type statusJudge struct {
	job, old *batchv1.Job
	at       *field.Path
	errs     field.ErrorList
}

func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	s := &statusJudge{job: j, old: old, at: field.NewPath("status")}
	s.counts()
	s.conditions()
	s.times()
	s.finished()
	s.indexes()
	s.transitions()
	return s.errs
}

// invalid reports a field when the rule is broken. value nil shows none.
func (s *statusJudge) invalid(broken bool, name string, value any, why string) {
	if broken {
		if value == nil {
			value = field.OmitValueType{}
		}
		s.errs = append(s.errs, field.Invalid(s.at.Child(name), value, why))
	}
}

func (s *statusJudge) is(t batchv1.JobConditionType) bool { return hasCondition(s.job, t) }

// changed tells whether one of the conditions is true now and was not, or the other way round.
func (s *statusJudge) changed(conditions ...batchv1.JobConditionType) bool {
	return slices.ContainsFunc(conditions, func(t batchv1.JobConditionType) bool {
		return hasCondition(s.job, t) != hasCondition(s.old, t)
	})
}

func (s *statusJudge) counts() {
	now, was := &s.job.Status, &s.old.Status
	s.errs = slices.Concat(s.errs,
		rule.NonNegative(s.at.Child("active"), now.Active),
		rule.NonNegative(s.at.Child("succeeded"), now.Succeeded),
		rule.NonNegative(s.at.Child("failed"), now.Failed),
		rule.MaybeNonNegative(s.at.Child("ready"), now.Ready),
		rule.MaybeNonNegative(s.at.Child("terminating"), now.Terminating),
		validateUncounted(s.at.Child("uncountedTerminatedPods"), now.UncountedTerminatedPods))
	ready := meta.Deref(now.Ready)
	s.invalid(ready > now.Active && (!samePtr(now.Ready, was.Ready) || now.Active != was.Active),
		"ready", ready, "cannot set more ready pods than active")
	s.invalid(now.Failed < was.Failed, "failed", now.Failed, "cannot decrease the failed counter")
	// An indexed job that does all at once may be made smaller.
	elastic := isIndexed(&s.job.Spec) && samePtr(s.job.Spec.Completions, s.job.Spec.Parallelism)
	s.invalid(now.Succeeded < was.Succeeded && !elastic, "succeeded", now.Succeeded, "cannot decrease the succeeded counter")
}

func validateUncounted(at *field.Path, u *batchv1.UncountedTerminatedPods) field.ErrorList {
	if u == nil {
		return nil
	}
	var errs field.ErrorList
	seen := sets.New[types.UID]()
	check := func(at *field.Path, list []types.UID) {
		for i, uid := range list {
			switch {
			case uid == "":
				errs = append(errs, field.Invalid(at.Index(i), uid, "must not be empty"))
			case seen.Has(uid):
				errs = append(errs, field.Duplicate(at.Index(i), uid))
			}
			seen.Insert(uid)
		}
	}
	check(at.Child("succeeded"), u.Succeeded)
	check(at.Child("failed"), u.Failed)
	return errs
}

func (s *statusJudge) conditions() {
	const complete, failed = batchv1.JobComplete, batchv1.JobFailed
	const target, met = batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet
	s.invalid(s.is(complete) && s.is(failed) && s.changed(complete, failed),
		"conditions", nil, "cannot set Complete=True and Failed=true conditions")
	s.invalid(s.is(complete) && s.is(target) && s.changed(complete, target),
		"conditions", nil, "cannot set Complete=True and FailureTarget=true conditions")
	s.invalid(s.is(failed) && !s.is(target) && (s.changed(failed) || s.failedIndexesChanged()),
		"conditions", nil, "cannot set Failed=True condition without the FailureTarget=true condition")
	s.invalid(s.is(complete) && !s.is(met) && s.changed(complete, met),
		"conditions", nil, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	s.invalid(s.is(met) && s.is(failed), "conditions", nil, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
	s.invalid(s.is(met) && s.is(target), "conditions", nil,
		"cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	s.invalid(s.job.Spec.SuccessPolicy != nil && !s.is(met) && s.is(complete),
		"conditions", nil, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
}

func (s *statusJudge) failedIndexesChanged() bool {
	return !samePtr(s.job.Status.FailedIndexes, s.old.Status.FailedIndexes)
}

func (s *statusJudge) times() {
	now, was := &s.job.Status, &s.old.Status
	started, completed := !sameTime(now.StartTime, was.StartTime), !sameTime(now.CompletionTime, was.CompletionTime)
	complete := s.is(batchv1.JobComplete)
	if completed || s.changed(batchv1.JobComplete) {
		s.invalid(now.CompletionTime != nil && !complete, "completionTime", now.CompletionTime,
			"cannot set completionTime when there is no Complete=True condition")
		if now.CompletionTime == nil && complete {
			s.errs = append(s.errs, field.Required(s.at.Child("completionTime"), "completionTime is required for Complete jobs"))
		}
	}
	s.invalid((started || completed) && now.StartTime != nil && now.CompletionTime != nil &&
		now.CompletionTime.Before(now.StartTime), "completionTime", now.CompletionTime, "must be equal to or after `startTime`")
	s.invalid(now.CompletionTime != nil && was.CompletionTime != nil && completed,
		"completionTime", now.CompletionTime, "field is immutable")
	resumes := hasCondition(s.old, batchv1.JobSuspended) && lacksCondition(s.job, batchv1.JobSuspended)
	s.invalid(was.StartTime != nil && started && !resumes && !meta.Deref(s.job.Spec.Suspend),
		"startTime", now.StartTime, "field is immutable for unsuspended job once set")
}

// finished judges what a job that ended cannot have any more.
func (s *statusJudge) finished() {
	if !isFinished(s.job) {
		return
	}
	now, was := &s.job.Status, &s.old.Status
	ends := isFinished(s.job) != isFinished(s.old)
	s.invalid(now.Active > 0 && (ends || now.Active != was.Active), "active", now.Active, "active>0 is invalid for finished job")
	nothingToDo := meta.Deref(s.job.Spec.Suspend) && s.job.Spec.Completions != nil && *s.job.Spec.Completions == 0
	if now.StartTime == nil && (ends || !sameTime(now.StartTime, was.StartTime)) && !nothingToDo {
		s.errs = append(s.errs, field.Required(s.at.Child("startTime"), "startTime is required for finished job"))
	}
	u := now.UncountedTerminatedPods
	s.invalid(u != nil && len(u.Failed)+len(u.Succeeded) > 0 &&
		(ends || !equality.Semantic.DeepEqual(u, was.UncountedTerminatedPods)),
		"uncountedTerminatedPods", u, "must be empty for finished job")
	s.invalid(meta.Deref(now.Terminating) > 0 && (ends || !samePtr(now.Terminating, was.Terminating)),
		"terminating", now.Terminating, "terminating>0 is invalid for finished job")
}

// indexes judges the lists of indexes that ended.
func (s *statusJudge) indexes() {
	now, spec := &s.job.Status, &s.job.Spec
	completedChanged, failedChanged := now.CompletedIndexes != s.old.Status.CompletedIndexes, s.failedIndexesChanged()
	failedText := meta.Deref(now.FailedIndexes)
	s.invalid(completedChanged && now.CompletedIndexes != "" && !isIndexed(spec), "completedIndexes", now.CompletedIndexes,
		"cannot set non-empty completedIndexes when non-indexed completion mode")
	s.invalid(failedChanged && now.FailedIndexes != nil && spec.BackoffLimitPerIndex == nil, "failedIndexes", failedText,
		"cannot set non-null failedIndexes when backoffLimitPerIndex is null")
	if spec.Completions == nil {
		return
	}
	completed, err := parseIndexes(now.CompletedIndexes, *spec.Completions)
	if err != nil {
		s.invalid(completedChanged, "completedIndexes", now.CompletedIndexes, "error parsing completedIndexes: "+err.Error())
	}
	failed, err := parseIndexes(failedText, *spec.Completions)
	if err != nil {
		s.invalid(failedChanged && spec.BackoffLimitPerIndex != nil, "failedIndexes", now.FailedIndexes,
			"error parsing failedIndexes: "+err.Error())
	}
	if i, ok := firstCommon(completed, failed); ok {
		s.invalid(completedChanged || failedChanged, "failedIndexes", failedText,
			fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", i))
	}
}

// transitions keeps conditions that are for good.
func (s *statusJudge) transitions() {
	const met = batchv1.JobSuccessCriteriaMet
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		s.invalid(hasCondition(s.old, t) && !s.is(t), "conditions", nil,
			fmt.Sprintf("cannot disable the terminal %s=True condition", t))
	}
	s.invalid(hasCondition(s.old, met) && !s.is(met), "conditions", nil, "cannot disable the SuccessCriteriaMet=True condition")
	s.invalid(hasCondition(s.old, batchv1.JobComplete) && !hasCondition(s.old, met) && s.is(met), "conditions", nil,
		"cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
}
