package networking

import (
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func ingress() *api.Resource {
	return meta.Entry[*networkingv1.Ingress]{
		Group:   networkingv1.GroupName,
		Version: "v1", Kind: "Ingress", Plural: "ingresses",
		Short:      []string{"ing"},
		Namespaced: true,
		New:        meta.New[networkingv1.Ingress],
		NewList:    meta.Empty[networkingv1.IngressList],
		Path:       "ingress",
		Subresources: []api.Subresource{
			meta.Status(networkingv1.SchemeGroupVersion.WithKind("Ingress"), meta.Empty[networkingv1.Ingress]),
		},
		PrepareCreate: func(i *networkingv1.Ingress) {
			i.Status = networkingv1.IngressStatus{}
			i.Generation = 1
		},
		PrepareUpdate: func(i, old *networkingv1.Ingress) {
			i.Status = old.Status
			if !equality.Semantic.DeepEqual(i.Spec, old.Spec) {
				i.Generation++
			}
		},
		PrepareStatus:       func(i, old *networkingv1.Ingress) { i.Spec = old.Spec },
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Class", "The IngressClass whose controller serves this ingress."),
			meta.Column("Hosts", "The host names that the rules match."),
			meta.Column("Address", "Where the load balancer can be reached."),
			meta.Column("Ports", "The ports that are served."),
			meta.AgeColumn(),
		},
		Row:            ingressRow,
		Validate:       validateIngress,
		ValidateUpdate: validateIngressUpdate,
		ValidateStatus: validateIngressStatus,
		Warnings:       warnIngress,
	}.Resource()
}

func ingressRow(i *networkingv1.Ingress, now time.Time) []any {
	class := meta.None
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	}
	ports := "80"
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []any{i.Name, class, hosts(i.Spec.Rules), ingressAddresses(i), ports, meta.Age(i, now)}
}

// hosts shows the hosts of the first rules until three are found; the rest is counted in rules.
func hosts(rules []networkingv1.IngressRule) string {
	var list []string
	more := false
	for i := range rules {
		if len(list) == 3 {
			more = true
			break
		}
		if rules[i].Host != "" {
			list = append(list, rules[i].Host)
		}
	}
	switch {
	case len(list) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", strings.Join(list, ","), len(rules)-3)
	}
	return strings.Join(list, ",")
}

func ingressAddresses(i *networkingv1.Ingress) string {
	var all []string
	for _, in := range i.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			all = append(all, in.IP)
		} else if in.Hostname != "" {
			all = append(all, in.Hostname)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}
