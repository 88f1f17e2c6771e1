package networking

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// classAnnotation named the class before ingresses had a field for it.
const classAnnotation = "kubernetes.io/ingress.class"

// ingressRules are what a stored ingress may keep although new ones may not have it.
type ingressRules struct {
	// anySecretName lets names of secrets pass that no secret can have.
	anySecretName bool
	// looseWildcards lets rules for wildcard hosts have anything.
	looseWildcards bool
}

func validateIngress(i *networkingv1.Ingress) field.ErrorList {
	errs := ingressRules{}.validate(&i.Spec)
	class, set := i.Annotations[classAnnotation]
	if set && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
		errs = append(errs, field.Invalid(field.NewPath("annotations").Child(classAnnotation), class,
			"must match `ingressClassName` when both are specified"))
	}
	return errs
}

func validateIngressUpdate(i, old *networkingv1.Ingress) field.ErrorList {
	var rules ingressRules
	for _, t := range old.Spec.TLS {
		if t.SecretName != "" && len(meta.DNSSubdomain(t.SecretName, false)) > 0 {
			rules.anySecretName = true
		}
	}
	for k := range old.Spec.Rules {
		r := &old.Spec.Rules[k]
		if strings.Contains(r.Host, "*") && len(validateHTTP(nil, r.HTTP)) > 0 {
			rules.looseWildcards = true
		}
	}
	return rules.validate(&i.Spec)
}

func (r ingressRules) validate(s *networkingv1.IngressSpec) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(at, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, validateBackend(at.Child("defaultBackend"), s.DefaultBackend)...)
	}
	for i := range s.Rules {
		errs = append(errs, r.validateRule(at.Child("rules").Index(i), &s.Rules[i])...)
	}
	for i := range s.TLS {
		errs = append(errs, r.validateTLS(at.Child("tls").Index(i), &s.TLS[i])...)
	}
	if s.IngressClassName != nil {
		errs = append(errs, rule.DNSSubdomain(at.Child("ingressClassName"), *s.IngressClassName)...)
	}
	return errs
}

func (r ingressRules) validateRule(at *field.Path, ir *networkingv1.IngressRule) field.ErrorList {
	var errs field.ErrorList
	if ir.Host != "" {
		if rule.IsIP(ir.Host) {
			errs = append(errs, field.Invalid(at.Child("host"), ir.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateHost(at.Child("host"), ir.Host)...)
	}
	if r.looseWildcards && strings.Contains(ir.Host, "*") {
		return errs
	}
	return append(errs, validateHTTP(at.Child("http"), ir.HTTP)...)
}

func (r ingressRules) validateTLS(at *field.Path, t *networkingv1.IngressTLS) field.ErrorList {
	var errs field.ErrorList
	for i, host := range t.Hosts {
		errs = append(errs, validateHost(at.Child("hosts").Index(i), host)...)
	}
	if !r.anySecretName && t.SecretName != "" {
		errs = append(errs, rule.DNSSubdomain(at.Child("secretName"), t.SecretName)...)
	}
	return errs
}

func validateHost(at *field.Path, host string) field.ErrorList {
	if strings.Contains(host, "*") {
		return rule.Messages(at, host, utilvalidation.IsWildcardDNS1123Subdomain(host))
	}
	return rule.DNSSubdomain(at, host)
}

func validateHTTP(at *field.Path, h *networkingv1.HTTPIngressRuleValue) field.ErrorList {
	if h == nil {
		return nil
	}
	at = at.Child("paths")
	if len(h.Paths) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for i := range h.Paths {
		errs = append(errs, validatePath(at.Index(i), &h.Paths[i])...)
	}
	return errs
}

func validatePath(at *field.Path, p *networkingv1.HTTPIngressPath) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(at.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	refuse := func(why string) { errs = append(errs, field.Invalid(at.Child("path"), p.Path, why)) }
	absolute := strings.HasPrefix(p.Path, "/")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !absolute {
			refuse("must be an absolute path")
		}
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, part) {
				refuse(fmt.Sprintf("must not contain '%s'", part))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, end) {
				refuse(fmt.Sprintf("cannot end with '%s'", end))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !absolute {
			refuse("must be an absolute path")
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("pathType"), *p.PathType, []networkingv1.PathType{
			networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix,
		}))
	}
	return append(errs, validateBackend(at.Child("backend"), &p.Backend)...)
}

func validateBackend(at *field.Path, b *networkingv1.IngressBackend) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(at, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateBackendResource(at.Child("resource"), b.Resource)
	case b.Service != nil:
		errs := rule.GivenName(at.Child("service", "name"), b.Service.Name, meta.DNSLabel)
		return append(errs, validateBackendPort(at, b.Service.Port)...)
	}
	return field.ErrorList{field.Invalid(at, "", "resource or service backend is required")}
}

func validateBackendPort(backend *field.Path, p networkingv1.ServiceBackendPort) field.ErrorList {
	at := backend.Child("service", "port")
	switch {
	case p.Name != "" && p.Number != 0:
		return field.ErrorList{field.Invalid(backend, "", "cannot set both port name & port number")}
	case p.Name != "":
		return rule.Messages(at.Child("name"), p.Name, utilvalidation.IsValidPortName(p.Name))
	case p.Number != 0:
		return rule.Port(at.Child("number"), p.Number)
	}
	return field.ErrorList{field.Required(backend, "port name or number is required")}
}

func validateBackendResource(at *field.Path, r *corev1.TypedLocalObjectReference) field.ErrorList {
	return validateReference(at, r.APIGroup, r.Kind, r.Name)
}

// validateReference judges the parts that typed references have in common.
func validateReference(at *field.Path, group *string, kind, name string) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		errs = append(errs, rule.DNSSubdomain(at.Child("apiGroup"), *group)...)
	}
	errs = append(errs, rule.GivenName(at.Child("kind"), kind, meta.PathSegment)...)
	return append(errs, rule.GivenName(at.Child("name"), name, meta.PathSegment)...)
}

func validateIngressStatus(i, old *networkingv1.Ingress) field.ErrorList {
	before := make([]string, 0, len(old.Status.LoadBalancer.Ingress))
	for _, in := range old.Status.LoadBalancer.Ingress {
		before = append(before, in.IP)
	}
	var errs field.ErrorList
	for k, in := range i.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(k)
		if in.IP != "" {
			errs = append(errs, rule.IP(at.Child("ip"), in.IP, before)...)
		}
		if in.Hostname != "" {
			errs = append(errs, rule.Hostname(at.Child("hostname"), in.Hostname)...)
		}
	}
	return errs
}

func warnIngress(i, old *networkingv1.Ingress) []string {
	if old == nil {
		if _, set := i.Annotations[classAnnotation]; set && i.Spec.IngressClassName == nil {
			return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead",
				classAnnotation)}
		}
		return nil
	}
	var out []string
	for k, in := range i.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			at := field.NewPath("status", "loadBalancer", "ingress").Index(k)
			out = append(out, utilvalidation.GetWarningsForIP(at, in.IP)...)
		}
	}
	return out
}
