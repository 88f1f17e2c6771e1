package networking

import (
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func ingressClass() *api.Resource {
	return meta.Entry[*networkingv1.IngressClass]{
		Group:   networkingv1.GroupName,
		Version: "v1", Kind: "IngressClass", Plural: "ingressclasses",
		New:     meta.New[networkingv1.IngressClass],
		NewList: meta.Empty[networkingv1.IngressClassList],
		Path:    "ingressclasses",
		Default: func(c *networkingv1.IngressClass) {
			if p := c.Spec.Parameters; p != nil && p.Scope == nil {
				p.Scope = new(networkingv1.IngressClassParametersReferenceScopeCluster)
			}
		},
		PrepareCreate: func(c *networkingv1.IngressClass) { c.Generation = 1 },
		PrepareUpdate: func(c, old *networkingv1.IngressClass) {
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation++
			}
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Controller", networkingv1.IngressClassSpec{}.SwaggerDoc()["controller"]),
			meta.Column("Parameters", networkingv1.IngressClassSpec{}.SwaggerDoc()["parameters"]),
			meta.AgeColumn(),
		},
		Row:            ingressClassRow,
		Validate:       validateIngressClass,
		ValidateUpdate: validateIngressClassUpdate,
	}.Resource()
}

func ingressClassRow(c *networkingv1.IngressClass, now time.Time) []any {
	name := c.Name
	if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
		name += " (default)"
	}
	parameters := meta.None
	if p := c.Spec.Parameters; p != nil {
		parameters = p.Kind
		if p.APIGroup != nil {
			parameters += "." + *p.APIGroup
		}
		parameters += "/" + p.Name
	}
	return []any{name, c.Spec.Controller, parameters, meta.Age(c, now)}
}
