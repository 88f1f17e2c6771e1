package apps

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	return validateDeploymentSpec(&d.Spec, nil)
}

func validateDeploymentSpec(s *appsv1.DeploymentSpec, old *corev1.PodTemplateSpec) field.ErrorList {
	at := specAt()
	errs := slices.Concat(
		rule.MaybeNonNegative(at.Child("replicas"), s.Replicas),
		validateOwnSelector(s.Selector, "deployment"),
		validateReplicaTemplate(s.Selector, &s.Template, old),
		validateDeploymentStrategy(at.Child("strategy"), &s.Strategy),
		rule.NonNegative(at.Child("minReadySeconds"), s.MinReadySeconds),
		rule.MaybeNonNegative(at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit),
		rule.MaybeNonNegative(at.Child("progressDeadlineSeconds"), s.ProgressDeadlineSeconds))
	if d := s.ProgressDeadlineSeconds; d != nil && *d <= s.MinReadySeconds {
		errs = append(errs, field.Invalid(at.Child("progressDeadlineSeconds"), d, "must be greater than minReadySeconds"))
	}
	return errs
}

func validateDeploymentStrategy(at *field.Path, s *appsv1.DeploymentStrategy) field.ErrorList {
	rolling := at.Child("rollingUpdate")
	r := s.RollingUpdate
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if r != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at, s, []appsv1.DeploymentStrategyType{
			appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType,
		})}
	}
	if r == nil {
		return field.ErrorList{field.Required(rolling, "this should be defaulted and never be nil")}
	}
	errs := validateMaxUnavailable(rolling.Child("maxUnavailable"), r.MaxUnavailable)
	if r.MaxSurge != nil {
		errs = append(errs, rule.Share(rolling.Child("maxSurge"), *r.MaxSurge)...)
	}
	if noneOf(r.MaxUnavailable) && noneOf(r.MaxSurge) {
		errs = append(errs, field.Invalid(rolling.Child("maxUnavailable"), r.MaxUnavailable,
			"may not be 0 when `maxSurge` is 0"))
	}
	return errs
}

func validateDeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return append(validateDeploymentSpec(&d.Spec, &old.Spec.Template),
		rule.Unchanged(specAt().Child("selector"), d.Spec.Selector, old.Spec.Selector)...)
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	at, s := statusAt(), &d.Status
	return slices.Concat(
		rule.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration),
		rule.NonNegative(at.Child("replicas"), s.Replicas),
		rule.NonNegative(at.Child("updatedReplicas"), s.UpdatedReplicas),
		rule.NonNegative(at.Child("readyReplicas"), s.ReadyReplicas),
		rule.NonNegative(at.Child("availableReplicas"), s.AvailableReplicas),
		rule.NonNegative(at.Child("unavailableReplicas"), s.UnavailableReplicas),
		rule.MaybeNonNegative(at.Child("terminatingReplicas"), s.TerminatingReplicas),
		rule.MaybeNonNegative(at.Child("collisionCount"), s.CollisionCount),
		rule.NotAbove(at.Child("updatedReplicas"), s.UpdatedReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("readyReplicas"), s.ReadyReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.ReadyReplicas, "readyReplicas"),
		rule.NotDecremented(at.Child("collisionCount"), s.CollisionCount, old.Status.CollisionCount))
}

func warnDeployment(d, old *appsv1.Deployment) []string {
	if old == nil {
		return append(core.WarnPodName(d.Name), core.WarnPodTemplate(templateAt(), &d.Spec.Template)...)
	}
	return warnTemplate(&d.Spec.Template, d.Generation, old.Generation)
}
