package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of the policies by which a job judges the ends of its pods.
const (
	maxFailureRules      = 20
	maxFailureExitCodes  = 255
	maxFailureConditions = 20
	maxSuccessRules      = 20
	maxSuccessIndexes    = 64 * 1024
)

// givenOneOf is rule.GivenOneOf with upstream's list of values in the error about none.
func givenOneOf[T ~string](at *field.Path, value T, allowed ...T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(at, fmt.Sprintf("valid values: %q", allowed))}
	}
	return rule.OneOf(at, value, allowed...)
}

// validateFailurePolicy judges what a failed pod means for the job.
func validateFailurePolicy(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	if s.PodFailurePolicy == nil {
		return nil
	}
	at = at.Child("rules")
	rules := s.PodFailurePolicy.Rules
	errs := rule.MaxItems(at, len(rules), maxFailureRules)
	for i := range rules {
		errs = append(errs, validateFailureRule(at.Index(i), &rules[i], s)...)
	}
	return errs
}

func validateFailureRule(at *field.Path, r *batchv1.PodFailurePolicyRule, s *batchv1.JobSpec) field.ErrorList {
	errs := givenOneOf(at.Child("action"), r.Action, batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(at.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	if r.OnExitCodes != nil {
		errs = append(errs, validateExitCodes(at.Child("onExitCodes"), r.OnExitCodes, &s.Template.Spec)...)
	}
	errs = append(errs, validateOnConditions(at.Child("onPodConditions"), r.OnPodConditions)...)
	switch {
	case r.OnExitCodes != nil && len(r.OnPodConditions) > 0:
		errs = append(errs, field.Invalid(at, field.OmitValueType{},
			"specifying both OnExitCodes and OnPodConditions is not supported"))
	case r.OnExitCodes == nil && len(r.OnPodConditions) == 0:
		errs = append(errs, field.Invalid(at, field.OmitValueType{},
			"specifying one of OnExitCodes and OnPodConditions is required"))
	}
	return errs
}

func validateOnConditions(at *field.Path, list []batchv1.PodFailurePolicyOnPodConditionsPattern) field.ErrorList {
	errs := rule.MaxItems(at, len(list), maxFailureConditions)
	for i, p := range list {
		errs = slices.Concat(errs,
			rule.QualifiedName(at.Index(i).Child("type"), string(p.Type)),
			givenOneOf(at.Index(i).Child("status"), p.Status,
				corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown))
	}
	return errs
}

func validateExitCodes(at *field.Path, r *batchv1.PodFailurePolicyOnExitCodesRequirement, s *corev1.PodSpec) field.ErrorList {
	errs := givenOneOf(at.Child("operator"), r.Operator,
		batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	if name := r.ContainerName; name != nil {
		named := func(c corev1.Container) bool { return c.Name == *name }
		if !slices.ContainsFunc(s.Containers, named) && !slices.ContainsFunc(s.InitContainers, named) {
			errs = append(errs, field.Invalid(at.Child("containerName"), *name,
				"must be one of the container or initContainer names in the pod template"))
		}
	}
	at = at.Child("values")
	if len(r.Values) == 0 {
		errs = append(errs, field.Invalid(at, r.Values, "at least one value is required"))
	}
	errs = append(errs, rule.MaxItems(at, len(r.Values), maxFailureExitCodes)...)
	seen := sets.New[int32]()
	for i, code := range r.Values {
		if r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && code == 0 {
			errs = append(errs, field.Invalid(at.Index(i), code, "must not be 0 for the In operator"))
		}
		if seen.Has(code) {
			errs = append(errs, field.Duplicate(at.Index(i), code))
		}
		seen.Insert(code)
	}
	if !slices.IsSorted(r.Values) {
		errs = append(errs, field.Invalid(at, r.Values, "must be ordered"))
	}
	return errs
}

// validateSuccessPolicy judges when an indexed job has done enough.
func validateSuccessPolicy(at *field.Path, s *batchv1.JobSpec) field.ErrorList {
	p := s.SuccessPolicy
	if p == nil {
		return nil
	}
	if !isIndexed(s) {
		return field.ErrorList{field.Invalid(at, *p, "requires indexed completion mode")}
	}
	at = at.Child("rules")
	var errs field.ErrorList
	if len(p.Rules) == 0 {
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	}
	errs = append(errs, rule.MaxItems(at, len(p.Rules), maxSuccessRules)...)
	for i := range p.Rules {
		errs = append(errs, validateSuccessRule(at.Index(i), &p.Rules[i], meta.Deref(s.Completions))...)
	}
	return errs
}

func validateSuccessRule(at *field.Path, r *batchv1.SuccessPolicyRule, completions int32) field.ErrorList {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		return field.ErrorList{field.Required(at, "at least one of succeededCount or succeededIndexes must be specified")}
	}
	var errs field.ErrorList
	var named int32
	if text := r.SucceededIndexes; text != nil {
		at := at.Child("succeededIndexes")
		errs = append(errs, rule.MaxBytes(at, *text, maxSuccessIndexes)...)
		list, err := parseIndexes(*text, completions)
		if err != nil {
			errs = append(errs, field.Invalid(at, *text, "error parsing succeededIndexes: "+err.Error()))
		}
		named = count(list)
	}
	n := r.SucceededCount
	if n == nil {
		return errs
	}
	at = at.Child("succeededCount")
	errs = append(errs, rule.NonNegative(at, *n)...)
	if *n > completions {
		errs = append(errs, field.Invalid(at, *n,
			fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
	}
	if r.SucceededIndexes != nil && *n > named {
		errs = append(errs, field.Invalid(at, *n, fmt.Sprintf(
			"must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", named)))
	}
	return errs
}
