package networking

import (
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func ipAddress() *api.Resource {
	return meta.Entry[*networkingv1.IPAddress]{
		Group:   networkingv1.GroupName,
		Version: "v1", Kind: "IPAddress", Plural: "ipaddresses",
		Short:               []string{"ip"},
		New:                 meta.New[networkingv1.IPAddress],
		NewList:             meta.Empty[networkingv1.IPAddressList],
		Path:                "ipaddresses",
		Name:                addressName,
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"]),
		},
		Row:            ipAddressRow,
		Validate:       validateIPAddress,
		ValidateUpdate: validateIPAddressUpdate,
	}.Resource()
}

// addressName accepts IP addresses in their canonical form only, so that one address has one name.
func addressName(name string, _ bool) []string {
	var all []string
	for _, err := range validation.IsValidIP(nil, name) {
		all = append(all, err.Detail)
	}
	return all
}

func ipAddressRow(a *networkingv1.IPAddress, _ time.Time) []any {
	parent := meta.None
	if ref := a.Spec.ParentRef; ref != nil {
		parent = strings.ToLower(schema.GroupResource{Group: ref.Group, Resource: ref.Resource}.String())
		if ref.Namespace != "" {
			parent += "/" + ref.Namespace
		}
		parent += "/" + ref.Name
	}
	return []any{a.Name, parent}
}
