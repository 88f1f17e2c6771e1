package networking

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"coracle.dev/coracle/internal/api/rule"
)

// policyRules are what a stored policy may keep although new ones may not have it.
type policyRules struct {
	laxSelector bool
	ranges      []string
}

func validatePolicy(p *networkingv1.NetworkPolicy) field.ErrorList {
	return policyRules{}.validate(&p.Spec)
}

func validatePolicyUpdate(p, old *networkingv1.NetworkPolicy) field.ErrorList {
	rules := policyRules{laxSelector: len(rule.Selector(nil, &old.Spec.PodSelector, false)) > 0}
	eachBlock(&old.Spec, func(_ *field.Path, b *networkingv1.IPBlock) {
		rules.ranges = append(append(rules.ranges, b.CIDR), b.Except...)
	})
	return rules.validate(&p.Spec)
}

func (r policyRules) validate(s *networkingv1.NetworkPolicySpec) field.ErrorList {
	at := field.NewPath("spec")
	errs := rule.Selector(at.Child("podSelector"), &s.PodSelector, r.laxSelector)
	for i := range s.Ingress {
		at := at.Child("ingress").Index(i)
		errs = append(errs, validatePolicyPorts(at.Child("ports"), s.Ingress[i].Ports)...)
		errs = append(errs, r.validatePeers(at.Child("from"), s.Ingress[i].From)...)
	}
	for i := range s.Egress {
		at := at.Child("egress").Index(i)
		errs = append(errs, validatePolicyPorts(at.Child("ports"), s.Egress[i].Ports)...)
		errs = append(errs, r.validatePeers(at.Child("to"), s.Egress[i].To)...)
	}
	at = at.Child("policyTypes")
	if len(s.PolicyTypes) > 2 {
		return append(errs, field.Invalid(at, s.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range s.PolicyTypes {
		errs = append(errs, rule.OneOf(at.Index(i), t, networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)...)
	}
	return errs
}

func validatePolicyPorts(at *field.Path, ports []networkingv1.NetworkPolicyPort) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		errs = append(errs, validatePolicyPort(at.Index(i), &ports[i])...)
	}
	return errs
}

func validatePolicyPort(at *field.Path, p *networkingv1.NetworkPolicyPort) field.ErrorList {
	errs := rule.MaybeOneOf(at.Child("protocol"), p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	end := at.Child("endPort")
	switch {
	case p.Port == nil && p.EndPort != nil:
		errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
	case p.Port == nil:
	case p.Port.Type == intstr.Int:
		errs = append(errs, rule.Port(at.Child("port"), p.Port.IntVal)...)
		if p.EndPort == nil {
			break
		}
		if *p.EndPort < p.Port.IntVal {
			errs = append(errs, field.Invalid(end, *p.EndPort, "must be greater than or equal to `port`"))
		}
		errs = append(errs, rule.Port(end, *p.EndPort)...)
	default:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
		}
		errs = append(errs, rule.PortOrName(at.Child("port"), *p.Port)...)
	}
	return errs
}

func (r policyRules) validatePeers(at *field.Path, peers []networkingv1.NetworkPolicyPeer) field.ErrorList {
	var errs field.ErrorList
	for i := range peers {
		p, at := &peers[i], at.Index(i)
		errs = append(errs, rule.Selector(at.Child("podSelector"), p.PodSelector, r.laxSelector)...)
		errs = append(errs, rule.Selector(at.Child("namespaceSelector"), p.NamespaceSelector, r.laxSelector)...)
		if p.IPBlock != nil {
			errs = append(errs, r.validateBlock(at.Child("ipBlock"), p.IPBlock)...)
		}
		selects := p.PodSelector != nil || p.NamespaceSelector != nil
		switch {
		case !selects && p.IPBlock == nil:
			errs = append(errs, field.Required(at, "must specify a peer"))
		case selects && p.IPBlock != nil:
			errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
		}
	}
	return errs
}

func (r policyRules) validateBlock(at *field.Path, b *networkingv1.IPBlock) field.ErrorList {
	if b.CIDR == "" {
		return rule.Given(at.Child("cidr"), b.CIDR)
	}
	errs := rule.CIDR(at.Child("cidr"), b.CIDR, r.ranges)
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	bits, _ := whole.Mask.Size()
	for i, text := range b.Except {
		at := at.Child("except").Index(i)
		errs = append(errs, rule.CIDR(at, text, r.ranges)...)
		_, except, err := netutils.ParseCIDRSloppy(text)
		if err != nil {
			continue
		}
		if n, _ := except.Mask.Size(); !whole.Contains(except.IP) || bits >= n {
			errs = append(errs, field.Invalid(at, text, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

// eachBlock visits the ranges of addresses that are peers.
func eachBlock(s *networkingv1.NetworkPolicySpec, visit func(*field.Path, *networkingv1.IPBlock)) {
	peers := func(at *field.Path, list []networkingv1.NetworkPolicyPeer) {
		for i := range list {
			if b := list[i].IPBlock; b != nil {
				visit(at.Index(i).Child("ipBlock"), b)
			}
		}
	}
	for i := range s.Ingress {
		peers(field.NewPath("spec", "ingress").Index(i).Child("from"), s.Ingress[i].From)
	}
	for i := range s.Egress {
		peers(field.NewPath("spec", "egress").Index(i).Child("to"), s.Egress[i].To)
	}
}

func warnPolicy(p, _ *networkingv1.NetworkPolicy) []string {
	var out []string
	eachBlock(&p.Spec, func(at *field.Path, b *networkingv1.IPBlock) {
		out = append(out, utilvalidation.GetWarningsForCIDR(at.Child("cidr"), b.CIDR)...)
		for i, e := range b.Except {
			out = append(out, utilvalidation.GetWarningsForCIDR(at.Child("except").Index(i), e)...)
		}
	})
	return out
}
