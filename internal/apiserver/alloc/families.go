package alloc

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// families are what the cluster has: its IP families, the default one first.
type families []corev1.IPFamily

func (f families) has(family corev1.IPFamily) bool { return slices.Contains(f, family) }

func other(family corev1.IPFamily) corev1.IPFamily {
	if family == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// complete fills in ipFamilyPolicy and ipFamilies and judges them against the cluster. before is nil on create. Address fields
// must have been paired.
func (f families) complete(after, before *corev1.Service) field.ErrorList {
	// A service that prefers two families keeps what it has while the cluster gains or loses one: nobody asked for a change.
	if !needsIP(after) || keepsPreferred(after, before) {
		return nil
	}
	spec := &after.Spec
	if spec.IPFamilyPolicy == nil {
		policy := defaultPolicy(after, before)
		spec.IPFamilyPolicy = &policy
	}
	if errs := validateAddresses(after); len(errs) > 0 {
		return errs
	}
	var errs field.ErrorList
	if before != nil {
		errs = shrink(after, before)
	}
	errs = append(errs, f.infer(spec)...)
	if len(errs) > 0 {
		return errs
	}
	if headless(after) && len(spec.Selector) == 0 {
		f.completeBare(spec)
		return nil
	}
	return f.completeOrdinary(spec)
}

// defaultPolicy: an update keeps the old policy; a headless service without a selector may be anything; else one family.
func defaultPolicy(after, before *corev1.Service) corev1.IPFamilyPolicy {
	switch {
	case before != nil && before.Spec.IPFamilyPolicy != nil:
		return *before.Spec.IPFamilyPolicy
	case headless(after) && len(after.Spec.Selector) == 0:
		return corev1.IPFamilyPolicyRequireDualStack
	}
	return corev1.IPFamilyPolicySingleStack
}

// keepsPreferred tells whether an update of a PreferDualStack service leaves everything about addresses as it is.
func keepsPreferred(after, before *corev1.Service) bool {
	if before == nil || after.Spec.IPFamilyPolicy == nil || after.Spec.Type != before.Spec.Type {
		return false
	}
	prefer := func(p *corev1.IPFamilyPolicy) bool { return p == nil || *p == corev1.IPFamilyPolicyPreferDualStack }
	return prefer(after.Spec.IPFamilyPolicy) && prefer(before.Spec.IPFamilyPolicy) &&
		slices.Equal(after.Spec.ClusterIPs, before.Spec.ClusterIPs) &&
		slices.Equal(after.Spec.IPFamilies, before.Spec.IPFamilies)
}

// shrink takes the second address and family away when the policy became SingleStack, and refuses that any other way.
func shrink(after, before *corev1.Service) field.ErrorList {
	is, was := &after.Spec, &before.Spec
	var errs field.ErrorList
	if *is.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		if slices.Equal(is.ClusterIPs, was.ClusterIPs) && len(is.ClusterIPs) > 1 {
			is.ClusterIPs = is.ClusterIPs[:1]
		}
		if slices.Equal(is.IPFamilies, was.IPFamilies) && len(is.IPFamilies) > 1 {
			is.IPFamilies = is.IPFamilies[:1]
		}
		return nil
	}
	path := specPath("ipFamilyPolicy")
	if n := len(is.ClusterIPs); n > 0 && n < len(was.ClusterIPs) {
		errs = append(errs, field.Invalid(path, is.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"))
	}
	if n := len(is.IPFamilies); n > 0 && n < len(was.IPFamilies) {
		errs = append(errs, field.Invalid(path, is.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"))
	}
	return errs
}

// infer judges the policy against what was asked for, and takes missing families from the addresses.
func (f families) infer(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	path := specPath("ipFamilyPolicy")
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		if len(spec.ClusterIPs) == 2 {
			errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy,
				"must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
		}
		if len(spec.IPFamilies) == 2 {
			errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy,
				"must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
		}
	}
	for i, text := range spec.ClusterIPs {
		a, err := netip.ParseAddr(text)
		if err != nil || i < len(spec.IPFamilies) {
			continue // "None", or named already and judged to match
		}
		if family := familyOf(a); f.has(family) {
			spec.IPFamilies = append(spec.IPFamilies, family)
		} else {
			errs = append(errs, field.Invalid(specPath("clusterIPs").Index(i), spec.ClusterIPs,
				string(family)+" is not configured on this cluster"))
		}
	}
	return errs
}

// completeBare is for headless services without a selector: whoever writes their endpoints may use any family.
func (f families) completeBare(spec *corev1.ServiceSpec) {
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{f[0]}
	}
	if len(spec.IPFamilies) < 2 && *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		spec.IPFamilies = append(spec.IPFamilies, other(spec.IPFamilies[0]))
	}
}

func (f families) completeOrdinary(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(f) < 2 {
		errs = append(errs, field.Invalid(specPath("ipFamilyPolicy"), spec.IPFamilyPolicy,
			"this cluster is not configured for dual-stack services"))
	}
	for i, family := range spec.IPFamilies {
		if !f.has(family) {
			errs = append(errs, field.Invalid(specPath("ipFamilies").Index(i), family, "not configured on this cluster"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{f[0]}
	}
	if *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) == 1 && len(f) == 2 {
		spec.IPFamilies = append(spec.IPFamilies, other(spec.IPFamilies[0]))
	}
	return nil
}
