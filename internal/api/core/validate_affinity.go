package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateAffinity(at *field.Path, a *corev1.Affinity, rules podRules) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		errs = append(errs, validateNodeAffinity(at.Child("nodeAffinity"), n, rules)...)
	}
	if p := a.PodAffinity; p != nil {
		errs = append(errs, validatePodTerms(at.Child("podAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution, rules)...)
	}
	if p := a.PodAntiAffinity; p != nil {
		errs = append(errs, validatePodTerms(at.Child("podAntiAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution, rules)...)
	}
	return errs
}

// Names of the two lists that every affinity has.
const (
	required  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferred = "preferredDuringSchedulingIgnoredDuringExecution"
)

func validateNodeAffinity(at *field.Path, n *corev1.NodeAffinity, rules podRules) field.ErrorList {
	var errs field.ErrorList
	if s := n.RequiredDuringSchedulingIgnoredDuringExecution; s != nil {
		errs = validateNodeSelector(at.Child(required), s, rules.laxNodeAffinity)
	}
	for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
		t := &n.PreferredDuringSchedulingIgnoredDuringExecution[i]
		at := at.Child(preferred).Index(i)
		errs = slices.Concat(errs,
			validateWeight(at.Child("weight"), t.Weight),
			// A preference that no node can meet does no harm.
			validateNodeTerm(at.Child("preference"), &t.Preference, true))
	}
	return errs
}

func validateWeight(at *field.Path, w int32) field.ErrorList {
	if w >= 1 && w <= 100 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, w, "must be in the range 1-100")}
}

// ValidateNodeSelector judges terms that nodes are chosen by; lax lets label values pass that no label can have.
func ValidateNodeSelector(at *field.Path, s *corev1.NodeSelector, lax bool) field.ErrorList {
	return validateNodeSelector(at, s, lax)
}

func validateNodeSelector(at *field.Path, s *corev1.NodeSelector, lax bool) field.ErrorList {
	at = at.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(at, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, validateNodeTerm(at.Index(i), &s.NodeSelectorTerms[i], lax)...)
	}
	return errs
}

func validateNodeTerm(at *field.Path, t *corev1.NodeSelectorTerm, lax bool) field.ErrorList {
	var errs field.ErrorList
	for i := range t.MatchExpressions {
		errs = append(errs, validateNodeExpression(at.Child("matchExpressions").Index(i), &t.MatchExpressions[i], lax)...)
	}
	for i := range t.MatchFields {
		errs = append(errs, validateNodeField(at.Child("matchFields").Index(i), &t.MatchFields[i])...)
	}
	return errs
}

func validateNodeExpression(at *field.Path, r *corev1.NodeSelectorRequirement, lax bool) field.ErrorList {
	var errs field.ErrorList
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	errs = append(errs, rule.LabelKey(at.Child("key"), r.Key)...)
	if !lax {
		errs = append(errs, rule.LabelValues(values, r.Values)...)
	}
	return errs
}

// validateNodeField judges a requirement on a field of the node; its name is the only one.
func validateNodeField(at *field.Path, r *corev1.NodeSelectorRequirement) field.ErrorList {
	var errs field.ErrorList
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(at.Child("values"),
				"must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	if r.Key != metav1.ObjectNameField {
		return append(errs, field.Invalid(at.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, v := range r.Values {
		errs = append(errs, rule.Name(at.Child("values").Index(i), v, meta.DNSSubdomain)...)
	}
	return errs
}

func validatePodTerms(
	at *field.Path, must []corev1.PodAffinityTerm, like []corev1.WeightedPodAffinityTerm, rules podRules,
) field.ErrorList {
	var errs field.ErrorList
	for i := range must {
		errs = append(errs, validatePodTerm(at.Child(required).Index(i), &must[i], rules)...)
	}
	for i := range like {
		at := at.Child(preferred).Index(i)
		errs = slices.Concat(errs,
			validateWeight(at.Child("weight"), like[i].Weight),
			validatePodTerm(at.Child("podAffinityTerm"), &like[i].PodAffinityTerm, rules))
	}
	return errs
}

func validatePodTerm(at *field.Path, t *corev1.PodAffinityTerm, rules podRules) field.ErrorList {
	errs := slices.Concat(
		rule.Selector(at.Child("labelSelector"), t.LabelSelector, rules.laxSelectors),
		rule.Selector(at.Child("namespaceSelector"), t.NamespaceSelector, rules.laxSelectors))
	for _, name := range t.Namespaces {
		errs = append(errs, rule.Name(at.Child("namespace"), name, meta.DNSLabel)...)
	}
	errs = append(errs, validateLabelKeys(at, t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector)...)
	if t.TopologyKey == "" {
		errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
	}
	return append(errs, rule.LabelKey(at.Child("topologyKey"), t.TopologyKey)...)
}

// validateLabelKeys judges keys whose values are taken from the pod itself. They are in the selector already, as requirements at
// its end; one that was there before as well is named twice.
func validateLabelKeys(at *field.Path, match, mismatch []string, s *metav1.LabelSelector) field.ErrorList {
	errs := append(
		validateKeyList(at.Child("matchLabelKeys"), match, s), validateKeyList(at.Child("mismatchLabelKeys"), mismatch, s)...)
	if s != nil {
		seen := sets.KeySet(s.MatchLabels)
		for _, e := range s.MatchExpressions {
			if i := lastIndex(match, e.Key); i >= 0 && seen.Has(e.Key) {
				errs = append(errs, field.Invalid(at.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector"))
			}
			seen.Insert(e.Key)
		}
	}
	for i, key := range match {
		if slices.Contains(mismatch, key) {
			errs = append(errs, field.Invalid(at.Child("matchLabelKeys").Index(i), key,
				"exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return errs
}

// lastIndex is -1 for values that are not in the list.
func lastIndex(list []string, value string) int {
	for i := range slices.Backward(list) {
		if list[i] == value {
			return i
		}
	}
	return -1
}

func validateKeyList(at *field.Path, keys []string, s *metav1.LabelSelector) field.ErrorList {
	if len(keys) > 0 && s == nil {
		return field.ErrorList{field.Forbidden(at, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, key := range keys {
		errs = append(errs, rule.LabelKey(at.Index(i), key)...)
	}
	return errs
}

// ValidateTopologyTerm judges one of the places in which a storage class makes volumes.
func ValidateTopologyTerm(at *field.Path, t *corev1.TopologySelectorTerm) field.ErrorList {
	var errs field.ErrorList
	keys := sets.New[string]()
	for i, r := range t.MatchLabelExpressions {
		at := at.Child("matchLabelExpressions").Index(i)
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(at.Child("values"), ""))
		}
		errs = slices.Concat(errs,
			rule.NoDuplicates(at.Child("values"), r.Values),
			rule.LabelKey(at.Child("key"), r.Key))
		if keys.Has(r.Key) {
			errs = append(errs, field.Duplicate(at.Child("key"), r.Key))
		}
		keys.Insert(r.Key)
	}
	return errs
}

func validateSpread(at *field.Path, list []corev1.TopologySpreadConstraint, rules podRules) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		c, at := &list[i], at.Index(i)
		errs = append(errs, rule.Positive(at.Child("maxSkew"), c.MaxSkew)...)
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		}
		errs = append(errs, rule.OneOf(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable,
			corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		if slices.ContainsFunc(list[i+1:], func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"),
				"{"+c.TopologyKey+", "+string(c.WhenUnsatisfiable)+"}"))
		}
		errs = slices.Concat(errs,
			validateMinDomains(at.Child("minDomains"), c),
			rule.MaybeOneOf(at.Child("nodeAffinityPolicy"), c.NodeAffinityPolicy,
				corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore),
			rule.MaybeOneOf(at.Child("nodeTaintsPolicy"), c.NodeTaintsPolicy,
				corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore))
		if rules.laxSpreadKeys {
			errs = append(errs, validateOldSpreadKeys(at.Child("matchLabelKeys"), c)...)
		} else {
			errs = append(errs, validateLabelKeys(at, c.MatchLabelKeys, nil, c.LabelSelector)...)
		}
		if !rules.laxSpreadSelectors {
			errs = append(errs, rule.Selector(at.Child("labelSelector"), c.LabelSelector, false)...)
		}
	}
	return errs
}

// validateOldSpreadKeys is for pods from the time when the keys were not yet part of the selector.
func validateOldSpreadKeys(at *field.Path, c *corev1.TopologySpreadConstraint) field.ErrorList {
	if len(c.MatchLabelKeys) == 0 {
		return nil
	}
	var errs field.ErrorList
	used := sets.New[string]()
	if c.LabelSelector == nil {
		errs = append(errs, field.Forbidden(at, "must not be specified when labelSelector is not set"))
	} else {
		used = sets.KeySet(c.LabelSelector.MatchLabels)
		for _, e := range c.LabelSelector.MatchExpressions {
			used.Insert(e.Key)
		}
	}
	for i, key := range c.MatchLabelKeys {
		errs = append(errs, rule.LabelKey(at.Index(i), key)...)
		if used.Has(key) {
			errs = append(errs, field.Invalid(at.Index(i), key, "exists in both matchLabelKeys and labelSelector"))
		}
	}
	return errs
}

func validateMinDomains(at *field.Path, c *corev1.TopologySpreadConstraint) field.ErrorList {
	if c.MinDomains == nil {
		return nil
	}
	errs := rule.Positive(at, *c.MinDomains)
	if c.WhenUnsatisfiable != corev1.DoNotSchedule {
		errs = append(errs, field.Invalid(at, c.MinDomains, "can only use minDomains if whenUnsatisfiable="+
			string(corev1.DoNotSchedule)+", not "+string(c.WhenUnsatisfiable)))
	}
	return errs
}
