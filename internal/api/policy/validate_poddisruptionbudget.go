package policy

import (
	policyv1 "k8s.io/api/policy/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	return validateBudgetSpec(&b.Spec, false)
}

func validateBudgetUpdate(b, old *policyv1.PodDisruptionBudget) field.ErrorList {
	return validateBudgetSpec(&b.Spec, rule.LaxSelector(old.Spec.Selector))
}

func validateBudgetSpec(s *policyv1.PodDisruptionBudgetSpec, lax bool) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(at, *s, "minAvailable and maxUnavailable cannot be both set"))
	}
	errs = append(errs, validateShare(at.Child("minAvailable"), s.MinAvailable)...)
	errs = append(errs, validateShare(at.Child("maxUnavailable"), s.MaxUnavailable)...)
	errs = append(errs, rule.Selector(at.Child("selector"), s.Selector, lax)...)
	return append(errs, rule.MaybeOneOf(at.Child("unhealthyPodEvictionPolicy"), s.UnhealthyPodEvictionPolicy,
		policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
}

func validateShare(at *field.Path, v *intstr.IntOrString) field.ErrorList {
	if v == nil {
		return nil
	}
	return append(rule.Share(at, *v), rule.ShareAtMostAll(at, *v)...)
}

func validateBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	at, s := field.NewPath("status"), &b.Status
	errs := metavalidation.ValidateConditions(s.Conditions, at.Child("conditions"))
	errs = append(errs, rule.NonNegative(at.Child("disruptionsAllowed"), s.DisruptionsAllowed)...)
	errs = append(errs, rule.NonNegative(at.Child("currentHealthy"), s.CurrentHealthy)...)
	errs = append(errs, rule.NonNegative(at.Child("desiredHealthy"), s.DesiredHealthy)...)
	return append(errs, rule.NonNegative(at.Child("expectedPods"), s.ExpectedPods)...)
}
