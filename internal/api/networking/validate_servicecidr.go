package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateServiceCIDR(c *networkingv1.ServiceCIDR) field.ErrorList {
	at, ranges := field.NewPath("spec", "cidrs"), c.Spec.CIDRs
	if len(ranges) == 0 {
		return field.ErrorList{field.Required(at, "at least one CIDR required")}
	}
	if len(ranges) > 2 {
		return field.ErrorList{field.Invalid(at, ranges, "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	for i, r := range ranges {
		errs = append(errs, utilvalidation.IsValidCIDR(at.Index(i), r)...)
	}
	if len(ranges) == 2 && len(errs) == 0 && !rule.RangesOnePerFamily(ranges) {
		errs = append(errs, field.Invalid(at, ranges,
			"may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
	}
	return errs
}

// validateServiceCIDRUpdate lets a range of the other family be added and nothing else change.
func validateServiceCIDRUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	at, ranges, before := field.NewPath("spec", "cidrs"), c.Spec.CIDRs, old.Spec.CIDRs
	added := len(before) == 1 && len(ranges) == 2
	if !added && len(ranges) != len(before) {
		return field.ErrorList{field.Invalid(at, ranges, rule.Immutable)}
	}
	var errs field.ErrorList
	for i := range before {
		if ranges[i] != before[i] {
			errs = append(errs, field.Invalid(at.Index(i), ranges[i], rule.Immutable))
		}
	}
	if added {
		errs = append(errs, validateServiceCIDR(c)...)
	}
	return errs
}
