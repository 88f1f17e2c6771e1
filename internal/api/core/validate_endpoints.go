package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateEndpoints(e *corev1.Endpoints) field.ErrorList {
	return validateSubsets(field.NewPath("subsets"), e.Subsets)
}

// validateEndpointsUpdate lets endpoints that are wrong already stay as they are. They may be many, so they are only compared
// when something is wrong.
func validateEndpointsUpdate(e, old *corev1.Endpoints) field.ErrorList {
	errs := validateEndpoints(e)
	if len(errs) > 0 && equality.Semantic.DeepEqual(e.Subsets, old.Subsets) {
		return nil
	}
	return errs
}

func validateSubsets(at *field.Path, subsets []corev1.EndpointSubset) field.ErrorList {
	var errs field.ErrorList
	for i := range subsets {
		s, at := &subsets[i], at.Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(at, "must specify `addresses` or `notReadyAddresses`"))
		}
		for k := range s.Addresses {
			errs = append(errs, validateEndpointAddress(at.Child("addresses").Index(k), &s.Addresses[k])...)
		}
		for k := range s.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(at.Child("notReadyAddresses").Index(k), &s.NotReadyAddresses[k])...)
		}
		for k := range s.Ports {
			errs = append(errs, validateEndpointPort(at.Child("ports").Index(k), &s.Ports[k], len(s.Ports) > 1)...)
		}
	}
	return errs
}

func validateEndpointAddress(at *field.Path, a *corev1.EndpointAddress) field.ErrorList {
	errs := rule.IP(at.Child("ip"), a.IP, nil)
	if a.Hostname != "" {
		errs = append(errs, rule.DNSLabel(at.Child("hostname"), a.Hostname)...)
	}
	if a.NodeName != nil {
		errs = append(errs, rule.Name(at.Child("nodeName"), *a.NodeName, meta.DNSSubdomain)...)
	}
	return append(errs, rule.EndpointIP(at.Child("ip"), a.IP)...)
}

func validateEndpointPort(at *field.Path, p *corev1.EndpointPort, needsName bool) field.ErrorList {
	var errs field.ErrorList
	if needsName || p.Name != "" {
		errs = rule.GivenDNSLabel(at.Child("name"), p.Name)
	}
	errs = slices.Concat(errs,
		rule.Port(at.Child("port"), p.Port),
		validateProtocol(at.Child("protocol"), p.Protocol))
	if p.AppProtocol != nil {
		errs = append(errs, rule.QualifiedName(at.Child("appProtocol"), *p.AppProtocol)...)
	}
	return errs
}

// Writers whose addresses are always in canonical form need no warnings; they write often.
const (
	endpointsManagedBy  = "endpoints.kubernetes.io/managed-by"
	endpointsController = "endpoint-controller"
)

func warnEndpoints(e, _ *corev1.Endpoints) []string {
	if e.Labels[endpointsManagedBy] == endpointsController {
		return nil
	}
	var out []string
	for i := range e.Subsets {
		at := field.NewPath("subsets").Index(i)
		for k, a := range e.Subsets[i].Addresses {
			out = append(out, utilvalidation.GetWarningsForIP(at.Child("addresses").Index(k).Child("ip"), a.IP)...)
		}
		for k, a := range e.Subsets[i].NotReadyAddresses {
			out = append(out, utilvalidation.GetWarningsForIP(at.Child("notReadyAddresses").Index(k).Child("ip"), a.IP)...)
		}
	}
	return out
}
