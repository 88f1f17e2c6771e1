package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateIPAddress(a *networkingv1.IPAddress) field.ErrorList {
	at, parent := field.NewPath("spec", "parentRef"), a.Spec.ParentRef
	if parent == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	// Services are of the group with the empty name.
	if parent.Group != "" {
		errs = append(errs, rule.DNSSubdomain(at.Child("group"), parent.Group)...)
	}
	errs = append(errs, rule.GivenName(at.Child("resource"), parent.Resource, meta.PathSegment)...)
	errs = append(errs, rule.GivenName(at.Child("name"), parent.Name, meta.PathSegment)...)
	if parent.Namespace != "" {
		errs = append(errs, rule.Name(at.Child("namespace"), parent.Namespace, meta.PathSegment)...)
	}
	return errs
}

func validateIPAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	return append(validateIPAddress(a), rule.Fixed(field.NewPath("spec", "parentRef"), a.Spec.ParentRef, old.Spec.ParentRef)...)
}
