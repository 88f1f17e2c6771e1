package apps

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func specAt() *field.Path     { return field.NewPath("spec") }
func statusAt() *field.Path   { return field.NewPath("status") }
func templateAt() *field.Path { return specAt().Child("template") }

// validateOwnSelector judges the selector of a workload, which must be given, and not empty. what names the workload in the
// error.
func validateOwnSelector(s *metav1.LabelSelector, what string) field.ErrorList {
	at := specAt().Child("selector")
	if s == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := rule.Selector(at, s, false)
	if rule.EmptySelector(s) {
		errs = append(errs, field.Invalid(at, s, "empty selector is invalid for "+what))
	}
	return errs
}

// validateSelects requires that a workload selects the pods it makes. bad is the error about a selector that cannot be read.
func validateSelects(s *metav1.LabelSelector, t *corev1.PodTemplateSpec, bad string) field.ErrorList {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return field.ErrorList{field.Invalid(specAt().Child("selector"), s, bad)}
	}
	if sel.Empty() || sel.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(templateAt().Child("metadata", "labels"), t.Labels,
		"`selector` does not match template `labels`")}
}

// validateReplicaTemplate judges a template of which a number of copies run for ever.
func validateReplicaTemplate(s *metav1.LabelSelector, t, old *corev1.PodTemplateSpec) field.ErrorList {
	errs := validateSelects(s, t, "invalid label selector")
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return errs
	}
	return slices.Concat(errs,
		core.ValidatePodTemplate(templateAt(), t, old),
		core.ValidateRestartsForever(templateAt(), t, "ReplicaSet"))
}

// warnTemplate returns the warnings for a workload's template when it is new or the workload's spec changed.
func warnTemplate(t *corev1.PodTemplateSpec, now, before int64) []string {
	if now == before {
		return nil
	}
	return core.WarnPodTemplate(templateAt(), t)
}

func validateReplicaSet(r *appsv1.ReplicaSet) field.ErrorList {
	return validateReplicaSetSpec(&r.Spec, nil)
}

func validateReplicaSetSpec(s *appsv1.ReplicaSetSpec, old *corev1.PodTemplateSpec) field.ErrorList {
	return slices.Concat(
		rule.MaybeNonNegative(specAt().Child("replicas"), s.Replicas),
		rule.NonNegative(specAt().Child("minReadySeconds"), s.MinReadySeconds),
		validateOwnSelector(s.Selector, "deployment"),
		validateReplicaTemplate(s.Selector, &s.Template, old))
}

func validateReplicaSetUpdate(r, old *appsv1.ReplicaSet) field.ErrorList {
	return append(validateReplicaSetSpec(&r.Spec, &old.Spec.Template),
		rule.Unchanged(specAt().Child("selector"), r.Spec.Selector, old.Spec.Selector)...)
}

func validateReplicaSetStatus(r, _ *appsv1.ReplicaSet) field.ErrorList {
	at, s := statusAt(), &r.Status
	return slices.Concat(
		rule.NonNegative(at.Child("replicas"), s.Replicas),
		rule.NonNegative(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas),
		rule.NonNegative(at.Child("readyReplicas"), s.ReadyReplicas),
		rule.NonNegative(at.Child("availableReplicas"), s.AvailableReplicas),
		rule.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration),
		rule.MaybeNonNegative(at.Child("terminatingReplicas"), s.TerminatingReplicas),
		rule.NotAbove(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("readyReplicas"), s.ReadyReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.ReadyReplicas, "readyReplicas"))
}

func warnReplicaSet(r, old *appsv1.ReplicaSet) []string {
	if old == nil {
		return append(core.WarnPodName(r.Name), core.WarnPodTemplate(templateAt(), &r.Spec.Template)...)
	}
	return warnTemplate(&r.Spec.Template, r.Generation, old.Generation)
}

// validateMaxUnavailable judges how many pods may be missing during an update.
func validateMaxUnavailable(at *field.Path, v *intstr.IntOrString) field.ErrorList {
	if v == nil {
		return nil
	}
	return append(rule.Share(at, *v), rule.ShareAtMostAll(at, *v)...)
}

func noneOf(v *intstr.IntOrString) bool { return v == nil || rule.NoShare(meta.Deref(v)) }
