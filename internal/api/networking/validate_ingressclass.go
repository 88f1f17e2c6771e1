package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

const maxControllerBytes = 250

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	at := field.NewPath("spec", "controller")
	errs := rule.MaxBytes(at, c.Spec.Controller, maxControllerBytes)
	errs = append(errs, utilvalidation.IsDomainPrefixedPath(at, c.Spec.Controller)...)
	if c.Spec.Parameters != nil {
		errs = append(errs, validateParameters(field.NewPath("spec", "parameters"), c.Spec.Parameters)...)
	}
	return errs
}

func validateIngressClassUpdate(c, old *networkingv1.IngressClass) field.ErrorList {
	errs := rule.Unchanged(field.NewPath("spec", "controller"), c.Spec.Controller, old.Spec.Controller)
	return append(errs, validateIngressClass(c)...)
}

func validateParameters(at *field.Path, p *networkingv1.IngressClassParametersReference) field.ErrorList {
	const cluster, namespaced = networkingv1.IngressClassParametersReferenceScopeCluster,
		networkingv1.IngressClassParametersReferenceScopeNamespace
	errs := validateReference(at, p.APIGroup, p.Kind, p.Name)
	if p.Scope == nil {
		return append(errs, field.Required(at.Child("scope"), ""))
	}
	errs = append(errs, rule.OneOf(at.Child("scope"), *p.Scope, cluster, namespaced)...)
	at = at.Child("namespace")
	switch {
	case *p.Scope == namespaced && p.Namespace == nil:
		errs = append(errs, field.Required(at, "`parameters.scope` is set to 'Namespace'"))
	case *p.Scope == namespaced:
		errs = append(errs, rule.Name(at, *p.Namespace, meta.DNSLabel)...)
	case *p.Scope == cluster && p.Namespace != nil:
		errs = append(errs, field.Forbidden(at, "`parameters.scope` is set to 'Cluster'"))
	}
	return errs
}
