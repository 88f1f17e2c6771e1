package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of jobs. Those of indexed jobs bound the status, which lists the indexes that ended.
const (
	maxIndexedParallelism = 100_000
	maxFailedIndexes      = 100_000
	manyCompletions       = 100_000
	parallelismWhenMany   = 10_000
	failedIndexesWhenMany = 10_000
	maxManagedBy          = 63
)

func specAt() *field.Path { return field.NewPath("spec") }

func validateJob(j *batchv1.Job) field.ErrorList {
	return slices.Concat(
		validateGeneratedSelector(j, true),
		validateJobSpec(specAt(), &j.Spec, nil),
		validateJobSelector(specAt(), &j.Spec, false),
		validateIndexNames(j))
}

// validateGeneratedSelector requires the labels by which a job knows its own pods, unless the selector was given by hand. Old
// jobs have them without a domain only.
func validateGeneratedSelector(j *batchv1.Job, prefixed bool) field.ErrorList {
	if meta.Deref(j.Spec.ManualSelector) || j.Spec.Selector == nil {
		return nil
	}
	var errs field.ErrorList
	if j.UID == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "uid"), ""))
	}
	own := labels.Set{"controller-uid": string(j.UID), "job-name": j.Name}
	if prefixed {
		own[batchv1.ControllerUidLabel], own[batchv1.JobNameLabel] = string(j.UID), j.Name
	}
	at := specAt().Child("template", "metadata", "labels")
	for _, key := range []string{"controller-uid", "job-name", batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		want, expected := own[key]
		if !expected {
			continue
		}
		if got, ok := j.Spec.Template.Labels[key]; !ok {
			errs = append(errs, field.Required(at.Key(key), fmt.Sprintf("must be '%s'", want)))
		} else if got != want {
			errs = append(errs, field.Invalid(at.Key(key), j.Spec.Template.Labels, fmt.Sprintf("must be '%s'", want)))
		}
	}
	if sel, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !sel.Matches(own) {
		errs = append(errs, field.Invalid(specAt().Child("selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

// validateIndexNames makes sure that the pod of the highest index can have the job's name and its index as host name.
func validateIndexNames(j *batchv1.Job) field.ErrorList {
	if !isIndexed(&j.Spec) || meta.Deref(j.Spec.Completions) <= 0 {
		return nil
	}
	last := fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)
	if len(utilvalidation.IsDNS1123Label(last)) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), j.Name,
		"will not able to create pod with invalid DNS label: "+last)}
}

func isIndexed(s *batchv1.JobSpec) bool {
	return meta.Deref(s.CompletionMode) == batchv1.IndexedCompletion
}

func validateJobSelector(at *field.Path, s *batchv1.JobSpec, lax bool) field.ErrorList {
	if s.Selector == nil {
		return field.ErrorList{field.Required(at.Child("selector"), "")}
	}
	errs := rule.Selector(at.Child("selector"), s.Selector, lax)
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("template", "metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	return errs
}

// validateJobSpec judges what jobs and the job templates of cron jobs have in common.
func validateJobSpec(at *field.Path, s *batchv1.JobSpec, old *corev1.PodTemplateSpec) field.ErrorList {
	errs := slices.Concat(
		rule.MaybeNonNegative(at.Child("parallelism"), s.Parallelism),
		rule.MaybeNonNegative(at.Child("completions"), s.Completions),
		rule.MaybeNonNegative(at.Child("activeDeadlineSeconds"), s.ActiveDeadlineSeconds),
		rule.MaybeNonNegative(at.Child("backoffLimit"), s.BackoffLimit),
		rule.MaybeNonNegative(at.Child("ttlSecondsAfterFinished"), s.TTLSecondsAfterFinished),
		rule.MaybeNonNegative(at.Child("backoffLimitPerIndex"), s.BackoffLimitPerIndex),
		rule.MaybeNonNegative(at.Child("maxFailedIndexes"), s.MaxFailedIndexes))
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(at.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if by := s.ManagedBy; by != nil {
		errs = slices.Concat(errs,
			utilvalidation.IsDomainPrefixedPath(at.Child("managedBy"), *by),
			rule.MaxBytes(at.Child("managedBy"), *by, maxManagedBy))
	}
	errs = append(errs, rule.MaybeOneOf(at.Child("completionMode"), s.CompletionMode,
		batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
	if isIndexed(s) {
		errs = append(errs, validateIndexed(at, s)...)
	} else if s.CompletionMode == nil || *s.CompletionMode == batchv1.NonIndexedCompletion {
		errs = append(errs, validateNotIndexed(at, s)...)
	}
	return slices.Concat(errs,
		validateFailurePolicy(at.Child("podFailurePolicy"), s),
		validateSuccessPolicy(at.Child("successPolicy"), s),
		validateReplacement(at.Child("podReplacementPolicy"), s),
		core.ValidatePodTemplate(at.Child("template"), &s.Template, old),
		validateJobRestarts(at.Child("template", "spec", "restartPolicy"), s))
}

func validateNotIndexed(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	const why = "requires indexed completion mode"
	var errs field.ErrorList
	if s.BackoffLimitPerIndex != nil {
		errs = append(errs, field.Invalid(at.Child("backoffLimitPerIndex"), *s.BackoffLimitPerIndex, why))
	}
	if s.MaxFailedIndexes != nil {
		errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *s.MaxFailedIndexes, why))
	}
	return errs
}

func validateIndexed(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	var errs field.ErrorList
	completions, parallelism, failed := at.Child("completions"), at.Child("parallelism"), at.Child("maxFailedIndexes")
	atMost := func(at *field.Path, n *int32, limit int32, why string) {
		if n != nil && *n > limit {
			errs = append(errs, field.Invalid(at, *n, why))
		}
	}
	if s.Completions == nil {
		errs = append(errs, field.Required(completions, "when completion mode is Indexed"))
	}
	atMost(parallelism, s.Parallelism, maxIndexedParallelism,
		fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", maxIndexedParallelism))
	if s.Completions != nil {
		atMost(failed, s.MaxFailedIndexes, *s.Completions, "must be less than or equal to completions")
	}
	atMost(failed, s.MaxFailedIndexes, maxFailedIndexes, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexes))
	if meta.Deref(s.Completions) <= manyCompletions || s.BackoffLimitPerIndex == nil {
		return errs
	}
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(failed,
			fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
	}
	const many = "must be less than or equal to %d when completions are above %d and used with backoff limit per index"
	atMost(parallelism, s.Parallelism, parallelismWhenMany, fmt.Sprintf(many, parallelismWhenMany, manyCompletions))
	atMost(failed, s.MaxFailedIndexes, failedIndexesWhenMany, fmt.Sprintf(many, failedIndexesWhenMany, manyCompletions))
	return errs
}

func validateReplacement(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	if s.PodFailurePolicy != nil {
		return rule.MaybeOneOf(at, s.PodReplacementPolicy, batchv1.Failed)
	}
	return rule.MaybeOneOf(at, s.PodReplacementPolicy, batchv1.Failed, batchv1.TerminatingOrFailed)
}

// validateJobRestarts refuses pods that never end. Always is also what a client gets who says nothing.
func validateJobRestarts(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	switch policy := s.Template.Spec.RestartPolicy; {
	case policy == "" || policy == corev1.RestartPolicyAlways:
		return field.ErrorList{field.Required(at,
			fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		return rule.OneOf(at, policy, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	case s.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever:
		return field.ErrorList{field.Invalid(at, policy,
			fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))}
	}
	return nil
}

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	at, s, was := specAt(), &j.Spec, &old.Spec
	return slices.Concat(
		validateJobSpec(at, s, &was.Template),
		validateJobSelector(at, s, rule.LaxSelector(was.Selector)),
		validateCompletionsChange(at.Child("completions"), s, was),
		rule.Unchanged(at.Child("selector"), s.Selector, was.Selector),
		validateTemplateChange(at, s, old),
		rule.Unchanged(at.Child("completionMode"), s.CompletionMode, was.CompletionMode),
		rule.Unchanged(at.Child("podFailurePolicy"), s.PodFailurePolicy, was.PodFailurePolicy),
		rule.Unchanged(at.Child("backoffLimitPerIndex"), s.BackoffLimitPerIndex, was.BackoffLimitPerIndex),
		rule.Unchanged(at.Child("managedBy"), s.ManagedBy, was.ManagedBy),
		rule.Unchanged(at.Child("successPolicy"), s.SuccessPolicy, was.SuccessPolicy),
		validateIndexNames(j))
}

// validateCompletionsChange lets an indexed job that does all its work at once grow and shrink.
func validateCompletionsChange(at *field.Path, s, was *batchv1.JobSpec) field.ErrorList {
	if !isIndexed(s) {
		return rule.Unchanged(at, s.Completions, was.Completions)
	}
	if s.Completions == nil || equality.Semantic.DeepEqual(s.Completions, was.Completions) ||
		*s.Completions == meta.Deref(s.Parallelism) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, s.Completions,
		fmt.Sprintf("can only be modified in tandem with %s", at.Root().Child("parallelism")))}
}

// canChangeTemplate tells whether no pod has been made from the template since the job was suspended.
func canChangeTemplate(j *batchv1.Job) bool {
	return meta.Deref(j.Spec.Suspend) && j.Status.Active == 0 &&
		(j.Status.StartTime == nil || hasCondition(j, batchv1.JobSuspended))
}

// validateTemplateChange keeps the pod template, but for where pods may run and what resources they get while the job is
// suspended: a queue of jobs decides that late.
func validateTemplateChange(at *field.Path, s *batchv1.JobSpec, old *batchv1.Job) field.ErrorList {
	if !canChangeTemplate(old) {
		return rule.Unchanged(at.Child("template"), &s.Template, &old.Spec.Template)
	}
	now, was := &s.Template, old.Spec.Template.DeepCopy()
	var nodes *corev1.NodeAffinity
	if now.Spec.Affinity != nil {
		nodes = now.Spec.Affinity.NodeAffinity
	}
	if was.Spec.Affinity == nil {
		was.Spec.Affinity = &corev1.Affinity{}
	}
	was.Spec.Affinity.NodeAffinity = nodes
	if now.Spec.Affinity == nil && *was.Spec.Affinity == (corev1.Affinity{}) {
		was.Spec.Affinity = nil
	}
	was.Spec.NodeSelector, was.Spec.Tolerations = now.Spec.NodeSelector, now.Spec.Tolerations
	was.Spec.SchedulingGates = now.Spec.SchedulingGates
	takeResources(was.Spec.Containers, now.Spec.Containers)
	takeResources(was.Spec.InitContainers, now.Spec.InitContainers)
	return rule.Unchanged(at.Child("template.spec"), now.Spec, was.Spec)
}

// takeResources copies the resources of containers of the same name and place.
func takeResources(to, from []corev1.Container) {
	if len(to) != len(from) {
		return
	}
	for i := range to {
		if to[i].Name == from[i].Name {
			to[i].Resources = from[i].Resources
		}
	}
}

func warnJob(j, old *batchv1.Job) []string {
	switch {
	case old == nil:
		return append(core.WarnPodName(j.Name), warnJobSpec(specAt(), &j.Spec)...)
	case j.Generation != old.Generation:
		return warnJobSpec(specAt(), &j.Spec)
	}
	return nil
}

func warnJobSpec(at *field.Path, s *batchv1.JobSpec) []string {
	var out []string
	if isIndexed(s) && meta.Deref(s.Completions) > manyCompletions && meta.Deref(s.Parallelism) > parallelismWhenMany {
		out = append(out, fmt.Sprintf("%s: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "+
			"higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail", at))
	}
	return append(out, core.WarnPodTemplate(at.Child("template"), &s.Template)...)
}
