package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Paths at which the parts of most objects are reported.
func specAt() *field.Path     { return field.NewPath("spec") }
func statusAt() *field.Path   { return field.NewPath("status") }
func metadataAt() *field.Path { return field.NewPath("metadata") }

// validatePod judges a new pod.
func validatePod(p *corev1.Pod) field.ErrorList {
	rules := podRulesFor(nil, nil)
	rules.pod = true
	errs := validateWholePod(p, rules)
	if len(p.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(specAt().Child("ephemeralContainers"), "cannot be set on create"))
	}
	if p.Spec.NodeName != "" && len(p.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(specAt().Child("nodeName"),
			"cannot be set until all schedulingGates have been cleared"))
	}
	return slices.Concat(errs,
		validateSeccompAgrees(specAt(), &p.ObjectMeta, &p.Spec),
		validateAppArmorAgrees(specAt(), &p.ObjectMeta, &p.Spec))
}

// changeRules are the rules for a write to an existing pod.
func changeRules(old *corev1.Pod) podRules {
	rules := podRulesFor(&old.Spec, &old.ObjectMeta)
	rules.pod = true
	return rules
}

// validateWholePod judges what holds for a pod at any time.
func validateWholePod(p *corev1.Pod, rules podRules) field.ErrorList {
	at := specAt()
	errs := slices.Concat(
		validatePodAnnotations(metadataAt().Child("annotations"), p.Annotations, &p.Spec, rules),
		validatePodSpec(at, &p.Spec, &p.ObjectMeta, rules))
	if p.Spec.ServiceAccountName == "" {
		errs = append(errs, forbidTokens(at.Child("volumes"), p.Spec.Volumes)...)
	}
	errs = append(errs, rule.MaybeNonNegative(at.Child("terminationGracePeriodSeconds"), p.Spec.TerminationGracePeriodSeconds)...)
	for i := range p.Spec.Containers {
		errs = append(errs, validateImageSpaces(at.Child("containers").Index(i), &p.Spec.Containers[i])...)
	}
	for i := range p.Spec.InitContainers {
		errs = append(errs, validateImageSpaces(at.Child("initContainers").Index(i), &p.Spec.InitContainers[i])...)
	}
	return errs
}

func forbidTokens(at *field.Path, volumes []corev1.Volume) field.ErrorList {
	var errs field.ErrorList
	for i := range volumes {
		if volumes[i].Projected == nil {
			continue
		}
		for k, s := range volumes[i].Projected.Sources {
			if s.ServiceAccountToken != nil {
				errs = append(errs, field.Forbidden(
					at.Index(i).Child("projected", "sources").Index(k).Child("serviceAccountToken"),
					"must not be specified when serviceAccountName is not set"))
			}
		}
	}
	return errs
}

// validateEphemeralUpdate judges a write to the ephemeralcontainers subresource: containers are added and never change.
func validateEphemeralUpdate(p, old *corev1.Pod) field.ErrorList {
	if isMirror(&old.ObjectMeta) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	rules := changeRules(old)
	errs := slices.Concat(
		validateWholePod(p, rules),
		validateAnnotationChange(metadataAt().Child("annotations"), p, old, rules))
	at := specAt().Child("ephemeralContainers")
	for i := range old.Spec.EphemeralContainers {
		was := &old.Spec.EphemeralContainers[i]
		k := slices.IndexFunc(p.Spec.EphemeralContainers, func(e corev1.EphemeralContainer) bool { return e.Name == was.Name })
		if k < 0 {
			errs = append(errs, field.Forbidden(at,
				fmt.Sprintf("existing ephemeral containers %q may not be removed\n", was.Name)))
		} else if is := &p.Spec.EphemeralContainers[k]; !equality.Semantic.DeepEqual(*was, *is) {
			errs = append(errs, field.Forbidden(at,
				fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", was.Name, diff.Diff(*was, *is))))
		}
	}
	return errs
}

// ValidateBinding judges the request to run a pod on a node.
func ValidateBinding(b *corev1.Binding) field.ErrorList {
	at := field.NewPath("target")
	var errs field.ErrorList
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(at.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
		return append(errs, rule.Given(at.Child("name"), b.Target.Name)...)
	}
	return append(errs, rule.GivenName(at.Child("name"), b.Target.Name, meta.DNSSubdomain)...)
}
