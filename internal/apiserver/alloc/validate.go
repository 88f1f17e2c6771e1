package alloc

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func specPath(name string) *field.Path { return field.NewPath("spec", name) }

// validateAddresses judges the address fields as the client gave them, so that allocation meets only sensible ones.
func validateAddresses(s *corev1.Service) field.ErrorList {
	if !needsIP(s) {
		return nil
	}
	spec := &s.Spec
	path := specPath("clusterIPs")
	var errs field.ErrorList
	switch {
	case spec.ClusterIP == "" && len(spec.ClusterIPs) > 0:
		errs = append(errs, field.Invalid(path, spec.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		errs = append(errs, field.Required(path, ""))
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(path, spec.ClusterIPs, "first value must match `clusterIP`"))
	}
	errs = append(errs, validateFamilies(spec)...)
	addresses, bad := parseAddresses(spec)
	if errs = append(errs, bad...); len(bad) > 0 {
		return errs
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(path, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	if len(addresses) > 1 && (len(addresses) > 2 || addresses[0].Is4() == addresses[1].Is4()) {
		errs = append(errs, field.Invalid(path, spec.ClusterIPs, "may specify no more than one IP for each IP family"))
	}
	for i, a := range addresses {
		if i < len(spec.IPFamilies) && spec.IPFamilies[i] != familyOf(a) {
			errs = append(errs, field.Invalid(path.Index(i), spec.ClusterIPs[i],
				fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%d]`", spec.IPFamilies[i], i)))
		}
	}
	return errs
}

func validateFamilies(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	path := specPath("ipFamilies")
	seen := map[corev1.IPFamily]bool{}
	for i, f := range spec.IPFamilies {
		if f != corev1.IPv4Protocol && f != corev1.IPv6Protocol {
			errs = append(errs, field.NotSupported(path.Index(i), f, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}))
		}
		if seen[f] {
			errs = append(errs, field.Duplicate(path.Index(i), f))
		}
		seen[f] = true
	}
	if p := spec.IPFamilyPolicy; p != nil {
		switch *p {
		case corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack:
		default:
			errs = append(errs, field.NotSupported(specPath("ipFamilyPolicy"), *p, []corev1.IPFamilyPolicy{
				corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack,
			}))
		}
	}
	return errs
}

// parseAddresses returns no address for a headless service.
func parseAddresses(spec *corev1.ServiceSpec) ([]netip.Addr, field.ErrorList) {
	path := specPath("clusterIPs")
	var addresses []netip.Addr
	var errs field.ErrorList
	for i, text := range spec.ClusterIPs {
		if i == 0 && text == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				errs = append(errs, field.Invalid(path, spec.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			errs = append(errs, field.Invalid(path.Index(i), text,
				"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
			continue
		}
		addresses = append(addresses, a)
	}
	return addresses, errs
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// validateAddressChange keeps what a service has: a second address may come and go, the first one stays.
func validateAddressChange(after, before *corev1.Service) field.ErrorList {
	if !needsIP(after) || !needsIP(before) || headless(after) && headless(before) {
		return nil
	}
	is, was := &after.Spec, &before.Spec
	single := is.IPFamilyPolicy != nil && *is.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	var errs field.ErrorList
	path := specPath("clusterIPs")
	for i := range min(len(is.ClusterIPs), len(was.ClusterIPs)) {
		if is.ClusterIPs[i] != was.ClusterIPs[i] {
			errs = append(errs, field.Invalid(path.Index(i), is.ClusterIPs, "may not change once set"))
		}
	}
	if len(is.ClusterIPs) < len(was.ClusterIPs) {
		if len(is.ClusterIPs) == 0 {
			errs = append(errs, field.Invalid(path.Index(0), is.ClusterIPs, "primary clusterIP can not be unset"))
		} else if !single {
			errs = append(errs, field.Invalid(specPath("ipFamilyPolicy"), is.IPFamilyPolicy,
				"must be set to 'SingleStack' when releasing the secondary clusterIP"))
		}
	}
	if headless(after) || headless(before) {
		return errs
	}
	path = specPath("ipFamilies")
	for i := range min(len(is.IPFamilies), len(was.IPFamilies)) {
		if is.IPFamilies[i] != was.IPFamilies[i] {
			errs = append(errs, field.Invalid(path.Index(0), is.IPFamilies, "may not change once set"))
		}
	}
	if len(is.IPFamilies) < len(was.IPFamilies) && len(is.IPFamilies) == 1 && !single {
		errs = append(errs, field.Invalid(specPath("ipFamilyPolicy"), is.IPFamilyPolicy,
			"must be set to 'SingleStack' when releasing the secondary ipFamily"))
	}
	return errs
}
