package core

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateReplicationController(c *corev1.ReplicationController) field.ErrorList {
	return validateReplicationControllerSpec(&c.Spec, nil)
}

func validateReplicationControllerSpec(s *corev1.ReplicationControllerSpec, oldTemplate *corev1.PodTemplateSpec) field.ErrorList {
	at := specAt()
	errs := rule.NonNegative(at.Child("minReadySeconds"), s.MinReadySeconds)
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(at.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(at.Child("replicas"), ""))
	}
	errs = append(errs, rule.MaybeNonNegative(at.Child("replicas"), s.Replicas)...)
	template, t := at.Child("template"), s.Template
	if t == nil {
		return append(errs, field.Required(template, ""))
	}
	if !labels.SelectorFromSet(s.Selector).Matches(labels.Set(t.Labels)) {
		errs = append(errs, field.Invalid(template.Child("metadata", "labels"), t.Labels,
			"`selector` does not match template `labels`"))
	}
	return slices.Concat(errs,
		ValidatePodTemplate(template, t, oldTemplate),
		ValidateRestartsForever(template, t, "ReplicationController"))
}

// ValidateRestartsForever judges the template of a workload of the kind whose pods never end by themselves.
func ValidateRestartsForever(at *field.Path, t *corev1.PodTemplateSpec, kind string) field.ErrorList {
	errs := rule.OneOf(at.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, corev1.RestartPolicyAlways)
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("spec", "activeDeadlineSeconds"),
			"activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

func validateReplicationControllerUpdate(c, old *corev1.ReplicationController) field.ErrorList {
	errs := validateReplicationControllerSpec(&c.Spec, old.Spec.Template)
	// Objects that came from another version of the API keep in annotations what this one cannot express.
	for _, key := range slices.Sorted(maps.Keys(old.Annotations)) {
		broken, ok := strings.CutPrefix(key, corev1.NonConvertibleAnnotationPrefix+"/")
		if !ok {
			continue
		}
		if !strings.Contains(broken, "selector") {
			errs = append(errs, &field.Error{
				Type: field.ErrorTypeNotFound, BadValue: old.Annotations[key], Field: broken,
				Detail: "unknown non-convertible field",
			})
		} else if !equality.Semantic.DeepEqual(c.Spec.Selector, old.Spec.Selector) {
			errs = append(errs, field.Invalid(specAt().Child("selector"), c.Spec.Selector,
				"cannot update non-convertible selector"))
		}
	}
	return errs
}

func validateReplicationControllerStatus(c, _ *corev1.ReplicationController) field.ErrorList {
	at, s := statusAt(), &c.Status
	return slices.Concat(
		rule.NonNegative(at.Child("replicas"), s.Replicas),
		rule.NonNegative(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas),
		rule.NonNegative(at.Child("readyReplicas"), s.ReadyReplicas),
		rule.NonNegative(at.Child("availableReplicas"), s.AvailableReplicas),
		rule.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration),
		rule.NotAbove(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("readyReplicas"), s.ReadyReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.ReadyReplicas, "readyReplicas"))
}

func warnReplicationController(c, old *corev1.ReplicationController) []string {
	at := specAt().Child("template")
	switch {
	case old == nil:
		return append(WarnPodName(c.Name), WarnPodTemplate(at, c.Spec.Template)...)
	case c.Generation != old.Generation:
		return WarnPodTemplate(at, c.Spec.Template)
	}
	return nil
}

func warnPodTemplateObject(t, old *corev1.PodTemplate) []string {
	if old != nil && t.Generation == old.Generation {
		return nil
	}
	return WarnPodTemplate(field.NewPath("template"), &t.Template)
}

func validatePodTemplateObject(t *corev1.PodTemplate) field.ErrorList {
	return ValidatePodTemplate(field.NewPath("template"), &t.Template, nil)
}

func validatePodTemplateUpdate(t, old *corev1.PodTemplate) field.ErrorList {
	return ValidatePodTemplate(field.NewPath("template"), &t.Template, &old.Template)
}
