package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// validateNode judges a node as it is.
func validateNode(n *corev1.Node) field.ErrorList {
	errs := validateNodeParts(n)
	if s := n.Status.NodeInfo.Swap; s != nil && s.Capacity != nil {
		errs = append(errs, rule.Positive(metadataAt().Child("nodeSwapStatus", "capacity"), *s.Capacity)...)
	}
	at := specAt().Child("podCIDRs")
	for i, r := range n.Spec.PodCIDRs {
		errs = append(errs, rule.CIDR(at.Index(i), r, nil)...)
	}
	if !rule.RangesOnePerFamily(n.Spec.PodCIDRs) {
		errs = append(errs, field.Invalid(at, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
	}
	if n.Spec.PodPreemptionPolicy != nil {
		errs = append(errs, field.Forbidden(specAt().Child("podPreemptionPolicy"), ""))
	}
	return errs
}

// validateNodeParts judges what creates, updates and writes to the status have in common.
func validateNodeParts(n *corev1.Node) field.ErrorList {
	return slices.Concat(
		validateNodeAnnotations(metadataAt().Child("annotations"), n.Annotations),
		validateTaints(metadataAt().Child("taints"), n.Spec.Taints),
		validateNodeAmounts("capacity", n.Status.Capacity),
		validateNodeAmounts("allocatable", n.Status.Allocatable),
		validateFeatures(statusAt().Child("declaredFeatures"), n.Status.DeclaredFeatures))
}

func validateNodeAmounts(list string, amounts corev1.ResourceList) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		errs = append(errs, validateAmount(statusAt().Child(list, string(name)), name, amounts[name])...)
	}
	return errs
}

func validateNodeAnnotations(at *field.Path, annotations map[string]string) field.ErrorList {
	var errs field.ErrorList
	if text := annotations[corev1.TaintsAnnotationKey]; text != "" {
		var taints []corev1.Taint
		if err := json.Unmarshal([]byte(text), &taints); err != nil {
			errs = append(errs, field.Invalid(at, corev1.TaintsAnnotationKey, err.Error()))
		}
		errs = append(errs, validateTaints(at.Child(corev1.TaintsAnnotationKey), taints)...)
	}
	text := annotations[corev1.PreferAvoidPodsAnnotationKey]
	if text == "" {
		return errs
	}
	var avoid corev1.AvoidPods
	if err := json.Unmarshal([]byte(text), &avoid); err != nil {
		return append(errs, field.Invalid(at.Child("AvoidPods"), corev1.PreferAvoidPodsAnnotationKey, err.Error()))
	}
	for i, e := range avoid.PreferAvoidPods {
		at := at.Child(corev1.PreferAvoidPodsAnnotationKey).Index(i).Child("PodSignature")
		if owner := e.PodSignature.PodController; owner == nil {
			errs = append(errs, field.Required(at, ""))
		} else if !meta.Deref(owner.Controller) {
			errs = append(errs, field.Invalid(at.Child("PodController", "Controller"), false, "must point to a controller"))
		}
	}
	return errs
}

// featureName is CamelCase, with parts divided by slashes.
var featureName = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$`)

func validateFeatures(at *field.Path, list []string) field.ErrorList {
	var errs field.ErrorList
	for i, f := range list {
		switch {
		case len(f) > utilvalidation.DNS1123SubdomainMaxLength:
			errs = append(errs, field.Invalid(at.Index(i), f, fmt.Sprintf(
				"invalid feature name %q: must be no more than %d characters", f, utilvalidation.DNS1123SubdomainMaxLength)))
		case !featureName.MatchString(f):
			errs = append(errs, field.Invalid(at.Index(i), f, fmt.Sprintf(
				"invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments separated by '/' "+
					"(e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", f)))
		}
		if i == 0 {
			continue
		}
		switch before := list[i-1]; {
		case before == f:
			errs = append(errs, field.Duplicate(at.Index(i), f))
		case before > f:
			errs = append(errs, field.Invalid(at.Index(i), f, "list must be sorted alphabetically"))
		}
	}
	return errs
}

func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	return append(validateNode(n), validateNodeChange(n, old)...)
}

func validateNodeStatus(n, old *corev1.Node) field.ErrorList {
	return append(validateNodeParts(n), validateNodeChange(n, old)...)
}

// validateNodeChange keeps what identifies a node: its address ranges and its machine, once they are known.
func validateNodeChange(n, old *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.NodeAddress]()
	for i, a := range n.Status.Addresses {
		if seen.Has(a) {
			errs = append(errs, field.Duplicate(statusAt().Child("addresses").Index(i), a))
		}
		seen.Insert(a)
	}
	at := specAt()
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(at.Child("podCIDRs"),
			`node updates may not change podCIDR except from "" to valid`))
	}
	switch now, before := n.Spec.ProviderID, old.Spec.ProviderID; {
	case before == "" || now == before:
	case now == "":
		errs = append(errs, field.Invalid(at.Child("providerID"), nil, "field cannot be cleared once set"))
	default:
		errs = append(errs, field.Invalid(at.Child("providerID"), nil, "field cannot be modified once set"))
	}
	if c := n.Spec.ConfigSource; c != nil {
		errs = append(errs, validateNodeConfig(at.Child("configSource"), c, false)...)
	}
	if c := n.Status.Config; c != nil {
		at := statusAt().Child("config")
		for _, s := range []struct {
			name   string
			source *corev1.NodeConfigSource
		}{{"assigned", c.Assigned}, {"active", c.Active}, {"lastKnownGood", c.LastKnownGood}} {
			if s.source != nil {
				errs = append(errs, validateNodeConfig(at.Child(s.name), s.source, true)...)
			}
		}
	}
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(at.Child("externalID"), "may not be updated"))
	}
	return errs
}

// validateNodeConfig judges where a node's configuration came from. The feature is gone; old objects keep the field.
func validateNodeConfig(at *field.Path, c *corev1.NodeConfigSource, inStatus bool) field.ErrorList {
	m := c.ConfigMap
	if m == nil {
		return field.ErrorList{field.Invalid(at, c, "exactly one reference subfield must be non-nil")}
	}
	at = at.Child("configMap")
	var errs field.ErrorList
	if inStatus {
		errs = slices.Concat(rule.Given(at.Child("uid"), m.UID), rule.Given(at.Child("resourceVersion"), m.ResourceVersion))
	} else {
		if m.UID != "" {
			errs = append(errs, field.Forbidden(at.Child("uid"), "uid must not be set in spec"))
		}
		if m.ResourceVersion != "" {
			errs = append(errs, field.Forbidden(at.Child("resourceVersion"), "resourceVersion must not be set in spec"))
		}
	}
	errs = slices.Concat(errs,
		rule.GivenName(at.Child("namespace"), m.Namespace, meta.DNSLabel),
		rule.GivenName(at.Child("name"), m.Name, meta.DNSSubdomain),
		rule.Given(at.Child("kubeletConfigKey"), m.KubeletConfigKey))
	if m.KubeletConfigKey != "" {
		errs = append(errs, rule.Messages(at.Child("kubeletConfigKey"), m.KubeletConfigKey,
			utilvalidation.IsConfigMapKey(m.KubeletConfigKey))...)
	}
	return errs
}

// warnNode returns the warnings for a node.
func warnNode(n, _ *corev1.Node) []string {
	var out []string
	if n.Spec.ConfigSource != nil {
		out = append(out, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		out = append(out, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, r := range n.Spec.PodCIDRs {
		out = append(out, utilvalidation.GetWarningsForCIDR(specAt().Child("podCIDRs").Index(i), r)...)
	}
	return out
}
