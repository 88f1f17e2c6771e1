package discovery

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of a slice.
const (
	maxPorts          = 20000
	maxEndpoints      = 1000
	maxAddresses      = 100
	maxTopologyLabels = 16
	maxHints          = 8
)

func validateSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateHead(s)
	return append(errs, validateEndpoints(field.NewPath("endpoints"), s)...)
}

func validateSliceUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateHead(s)
	// Older versions were laxer. Endpoints are compared only when there is something to forgive, since they may be many.
	bad := validateEndpoints(field.NewPath("endpoints"), s)
	if len(bad) > 0 && !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		errs = append(errs, bad...)
	}
	return append(errs, rule.Fixed(field.NewPath("addressType"), s.AddressType, old.AddressType)...)
}

func validateHead(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := rule.GivenOneOf(field.NewPath("addressType"), s.AddressType,
		discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)
	return append(errs, validatePorts(field.NewPath("ports"), s.Ports)...)
}

func validatePorts(at *field.Path, ports []discoveryv1.EndpointPort) field.ErrorList {
	if len(ports) > maxPorts {
		return rule.MaxItems(at, len(ports), maxPorts)
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range ports {
		p, at := &ports[i], at.Index(i)
		name := meta.Deref(p.Name)
		if name != "" {
			errs = append(errs, rule.DNSLabel(at.Child("name"), name)...)
		}
		if seen[name] {
			errs = append(errs, field.Duplicate(at.Child("name"), name))
		}
		seen[name] = true
		errs = append(errs, validateProtocol(at.Child("protocol"), p.Protocol)...)
		if p.AppProtocol != nil {
			errs = append(errs, rule.QualifiedName(at.Child("appProtocol"), *p.AppProtocol)...)
		}
	}
	return errs
}

func validateProtocol(at *field.Path, p *corev1.Protocol) field.ErrorList {
	if p == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	return rule.OneOf(at, *p, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

func validateEndpoints(at *field.Path, s *discoveryv1.EndpointSlice) field.ErrorList {
	if len(s.Endpoints) > maxEndpoints {
		return rule.MaxItems(at, len(s.Endpoints), maxEndpoints)
	}
	var errs field.ErrorList
	for i := range s.Endpoints {
		errs = append(errs, validateEndpoint(at.Index(i), &s.Endpoints[i], s.AddressType)...)
	}
	return errs
}

func validateEndpoint(at *field.Path, e *discoveryv1.Endpoint, kind discoveryv1.AddressType) field.ErrorList {
	var errs field.ErrorList
	if len(e.Addresses) == 0 {
		errs = append(errs, field.Required(at.Child("addresses"), ""))
	}
	errs = append(errs, rule.MaxItems(at.Child("addresses"), len(e.Addresses), maxAddresses)...)
	for i, a := range e.Addresses {
		errs = append(errs, validateAddress(at.Child("addresses"), i, a, kind)...)
	}
	if e.NodeName != nil {
		errs = append(errs, rule.DNSSubdomain(at.Child("nodeName"), *e.NodeName)...)
	}
	topology := at.Child("deprecatedTopology")
	errs = append(errs, rule.MaxItems(topology, len(e.DeprecatedTopology), maxTopologyLabels)...)
	errs = append(errs, rule.Labels(topology, e.DeprecatedTopology)...)
	if e.Hostname != nil {
		errs = append(errs, rule.DNSLabel(at.Child("hostname"), *e.Hostname)...)
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(at.Child("hints"), e.Hints)...)
	}
	return errs
}

// validateAddress judges an address by the slice's kind of addresses. An address of the other family is an error of the list.
func validateAddress(list *field.Path, i int, value string, kind discoveryv1.AddressType) field.ErrorList {
	at := list.Index(i)
	switch kind {
	case discoveryv1.AddressTypeIPv4:
		if errs := rule.IP(at, value, nil); len(errs) > 0 {
			return errs
		}
		return append(ofFamily(list, value, rule.IsIPv4(value), "must be an IPv4 address"), rule.EndpointIP(at, value)...)
	case discoveryv1.AddressTypeIPv6:
		if errs := utilvalidation.IsValidIP(at, value); len(errs) > 0 {
			return errs
		}
		return append(ofFamily(list, value, rule.IsIPv6(value), "must be an IPv6 address"), rule.EndpointIP(at, value)...)
	case discoveryv1.AddressTypeFQDN:
		return utilvalidation.IsFullyQualifiedDomainName(at, value)
	}
	return nil
}

func ofFamily(list *field.Path, value string, is bool, why string) field.ErrorList {
	if is {
		return nil
	}
	return field.ErrorList{field.Invalid(list, value, why)}
}

func validateHints(at *field.Path, h *discoveryv1.EndpointHints) field.ErrorList {
	zones, nodes := make([]string, len(h.ForZones)), make([]string, len(h.ForNodes))
	for i := range zones {
		zones[i] = h.ForZones[i].Name
	}
	for i := range nodes {
		nodes[i] = h.ForNodes[i].Name
	}
	errs, ok := validateHintNames(at.Child("forZones"), zones, utilvalidation.IsValidLabelValue)
	if !ok {
		return errs
	}
	more, _ := validateHintNames(at.Child("forNodes"), nodes, utilvalidation.IsDNS1123Subdomain)
	return append(errs, more...)
}

// validateHintNames tells as well whether there are few enough names to have been looked at.
func validateHintNames(at *field.Path, names []string, judge func(string) []string) (errs field.ErrorList, ok bool) {
	if len(names) > maxHints {
		return rule.MaxItems(at, len(names), maxHints), false
	}
	seen := map[string]bool{}
	for i, name := range names {
		at := at.Index(i).Child("name")
		if seen[name] {
			errs = append(errs, field.Duplicate(at, name))
		}
		seen[name] = true
		errs = append(errs, rule.Messages(at, name, judge(name))...)
	}
	return errs, true
}

func warnSlice(s, old *discoveryv1.EndpointSlice) []string {
	var out []string
	if old == nil && s.AddressType == discoveryv1.AddressTypeFQDN {
		out = append(out, "spec.addressType: FQDN endpoints are deprecated")
	}
	switch s.Labels[discoveryv1.LabelManagedBy] {
	case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io":
		// These write addresses in their canonical form whatever they read.
		return out
	}
	for i := range s.Endpoints {
		for k, a := range s.Endpoints[i].Addresses {
			at := field.NewPath("endpoints").Index(i).Child("addresses").Index(k)
			out = append(out, utilvalidation.GetWarningsForIP(at, a)...)
		}
	}
	return out
}
