package apps

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

func validateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	return validateDaemonSetSpec(&d.Spec, nil, false)
}

func validateDaemonSetSpec(s *appsv1.DaemonSetSpec, old *corev1.PodTemplateSpec, lax bool) field.ErrorList {
	at := specAt()
	errs := rule.Selector(at.Child("selector"), s.Selector, lax)
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(templateAt().Child("metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	if s.Selector != nil && rule.EmptySelector(s.Selector) {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, "empty selector is invalid for daemonset"))
	}
	return slices.Concat(errs,
		core.ValidatePodTemplate(templateAt(), &s.Template, old),
		core.ValidateRestartsForever(templateAt(), &s.Template, "DaemonSet"),
		rule.NonNegative(at.Child("minReadySeconds"), s.MinReadySeconds),
		validateDaemonSetStrategy(at.Child("updateStrategy"), &s.UpdateStrategy),
		rule.MaybeNonNegative(at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit))
}

func validateDaemonSetStrategy(at *field.Path, s *appsv1.DaemonSetUpdateStrategy) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at, s, []appsv1.DaemonSetUpdateStrategyType{
			appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType,
		})}
	}
	at = at.Child("rollingUpdate")
	r := s.RollingUpdate
	if r == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := slices.Concat(
		validateMaxUnavailable(at.Child("maxUnavailable"), r.MaxUnavailable),
		validateMaxUnavailable(at.Child("maxSurge"), r.MaxSurge))
	// A node has room for one pod more or may miss one, not both.
	switch unavailable, surge := !noneOf(r.MaxUnavailable), !noneOf(r.MaxSurge); {
	case unavailable && surge:
		errs = append(errs, field.Invalid(at.Child("maxSurge"), r.MaxSurge, "may not be set when maxUnavailable is non-zero"))
	case !unavailable && !surge:
		errs = append(errs, field.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetUpdate(d, old *appsv1.DaemonSet) field.ErrorList {
	return append(
		rule.Unchanged(specAt().Child("selector"), d.Spec.Selector, old.Spec.Selector),
		validateDaemonSetSpec(&d.Spec, &old.Spec.Template, rule.LaxSelector(old.Spec.Selector))...)
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	at, s := statusAt(), &d.Status
	return slices.Concat(
		rule.NonNegative(at.Child("currentNumberScheduled"), s.CurrentNumberScheduled),
		rule.NonNegative(at.Child("numberMisscheduled"), s.NumberMisscheduled),
		rule.NonNegative(at.Child("desiredNumberScheduled"), s.DesiredNumberScheduled),
		rule.NonNegative(at.Child("numberReady"), s.NumberReady),
		rule.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration),
		rule.NonNegative(at.Child("updatedNumberScheduled"), s.UpdatedNumberScheduled),
		rule.NonNegative(at.Child("numberAvailable"), s.NumberAvailable),
		rule.NonNegative(at.Child("numberUnavailable"), s.NumberUnavailable),
		rule.MaybeNonNegative(at.Child("collisionCount"), s.CollisionCount),
		rule.NotDecremented(at.Child("collisionCount"), s.CollisionCount, old.Status.CollisionCount))
}

func warnDaemonSet(d, old *appsv1.DaemonSet) []string {
	if old == nil {
		return core.WarnPodTemplate(templateAt(), &d.Spec.Template)
	}
	return warnTemplate(&d.Spec.Template, templateGeneration(d), templateGeneration(old))
}
