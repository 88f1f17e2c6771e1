package networking

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func networkPolicy() *api.Resource {
	return meta.Entry[*networkingv1.NetworkPolicy]{
		Group:   networkingv1.GroupName,
		Version: "v1", Kind: "NetworkPolicy", Plural: "networkpolicies",
		Short:         []string{"netpol"},
		Namespaced:    true,
		New:           meta.New[networkingv1.NetworkPolicy],
		NewList:       meta.Empty[networkingv1.NetworkPolicyList],
		Path:          "networkpolicies",
		Default:       defaultNetworkPolicy,
		PrepareCreate: func(p *networkingv1.NetworkPolicy) { p.Generation = 1 },
		PrepareUpdate: func(p, old *networkingv1.NetworkPolicy) {
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation++
			}
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]),
			meta.AgeColumn(),
		},
		Row: func(p *networkingv1.NetworkPolicy, now time.Time) []any {
			return []any{p.Name, metav1.FormatLabelSelector(&p.Spec.PodSelector), meta.Age(p, now)}
		},
		Validate:       validatePolicy,
		ValidateUpdate: validatePolicyUpdate,
		Warnings:       warnPolicy,
	}.Resource()
}

func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	if len(p.Spec.PolicyTypes) == 0 {
		// Every policy isolates for ingress unless it says otherwise.
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range p.Spec.Ingress {
		defaultPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPorts(p.Spec.Egress[i].Ports)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			ports[i].Protocol = new(corev1.ProtocolTCP)
		}
	}
}
