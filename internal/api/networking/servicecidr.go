package networking

import (
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func serviceCIDR() *api.Resource {
	return meta.Entry[*networkingv1.ServiceCIDR]{
		Group:   networkingv1.GroupName,
		Version: "v1", Kind: "ServiceCIDR", Plural: "servicecidrs",
		New:     meta.New[networkingv1.ServiceCIDR],
		NewList: meta.Empty[networkingv1.ServiceCIDRList],
		Path:    "servicecidrs",
		Subresources: []api.Subresource{
			meta.Status(networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR"), meta.Empty[networkingv1.ServiceCIDR],
				"metadata", "spec"),
		},
		PrepareCreate: func(c *networkingv1.ServiceCIDR) { c.Status = networkingv1.ServiceCIDRStatus{} },
		PrepareUpdate: func(c, old *networkingv1.ServiceCIDR) { c.Status = old.Status },
		PrepareStatus: func(c, old *networkingv1.ServiceCIDR) {
			c.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]),
			meta.AgeColumn(),
		},
		Row: func(c *networkingv1.ServiceCIDR, now time.Time) []any {
			return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), meta.Age(c, now)}
		},
		Validate:       validateServiceCIDR,
		ValidateUpdate: validateServiceCIDRUpdate,
	}.Resource()
}
