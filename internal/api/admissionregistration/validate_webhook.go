package admissionregistration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// webhook is what both kinds of webhook have in common.
type webhook struct {
	name       string
	client     *admissionregistrationv1.WebhookClientConfig
	rules      []admissionregistrationv1.RuleWithOperations
	failure    *admissionregistrationv1.FailurePolicyType
	match      *admissionregistrationv1.MatchPolicyType
	namespaces *metav1.LabelSelector
	objects    *metav1.LabelSelector
	effects    *admissionregistrationv1.SideEffectClass
	timeout    *int32
	versions   []string
	conditions []admissionregistrationv1.MatchCondition
	// reinvocation is nil for webhooks that only validate.
	reinvocation *admissionregistrationv1.ReinvocationPolicyType
}

// webhookRules are what a stored configuration may keep although new ones may not have it.
type webhookRules struct {
	sideEffects     bool
	unknownVersions bool
	repeatedNames   bool
	laxSelectors    bool
	sameConditions  bool
}

func mutatingHooks(c *admissionregistrationv1.MutatingWebhookConfiguration) []webhook {
	out := make([]webhook, len(c.Webhooks))
	for i := range c.Webhooks {
		h := &c.Webhooks[i]
		out[i] = webhook{
			h.Name, &h.ClientConfig, h.Rules, h.FailurePolicy, h.MatchPolicy, h.NamespaceSelector, h.ObjectSelector,
			h.SideEffects, h.TimeoutSeconds, h.AdmissionReviewVersions, h.MatchConditions, h.ReinvocationPolicy,
		}
	}
	return out
}

func validatingHooks(c *admissionregistrationv1.ValidatingWebhookConfiguration) []webhook {
	out := make([]webhook, len(c.Webhooks))
	for i := range c.Webhooks {
		h := &c.Webhooks[i]
		out[i] = webhook{
			h.Name, &h.ClientConfig, h.Rules, h.FailurePolicy, h.MatchPolicy, h.NamespaceSelector, h.ObjectSelector,
			h.SideEffects, h.TimeoutSeconds, h.AdmissionReviewVersions, h.MatchConditions, nil,
		}
	}
	return out
}

func validateMutatingHooks(c *admissionregistrationv1.MutatingWebhookConfiguration) field.ErrorList {
	return webhookRules{}.validate(mutatingHooks(c))
}

func validateMutatingHooksUpdate(c, old *admissionregistrationv1.MutatingWebhookConfiguration) field.ErrorList {
	hooks := mutatingHooks(c)
	return webhookRulesAfter(hooks, mutatingHooks(old)).validate(hooks)
}

func validateValidatingHooks(c *admissionregistrationv1.ValidatingWebhookConfiguration) field.ErrorList {
	return webhookRules{}.validate(validatingHooks(c))
}

func validateValidatingHooksUpdate(c, old *admissionregistrationv1.ValidatingWebhookConfiguration) field.ErrorList {
	hooks := validatingHooks(c)
	return webhookRulesAfter(hooks, validatingHooks(old)).validate(hooks)
}

func webhookRulesAfter(hooks, old []webhook) webhookRules {
	r := webhookRules{sameConditions: len(hooks) == len(old)}
	seen := map[string]bool{}
	for i, h := range old {
		r.sideEffects = r.sideEffects || h.effects == nil || !slices.Contains(noSideEffects(), *h.effects)
		r.unknownVersions = r.unknownVersions || len(h.versions) > 0 && !slices.ContainsFunc(h.versions, isReviewVersion)
		r.repeatedNames = r.repeatedNames || seen[h.name]
		r.laxSelectors = r.laxSelectors || len(rule.Selector(nil, h.namespaces, false)) > 0 ||
			len(rule.Selector(nil, h.objects, false)) > 0
		r.sameConditions = r.sameConditions && equality.Semantic.DeepEqual(hooks[i].conditions, h.conditions)
		seen[h.name] = true
	}
	return r
}

func (r webhookRules) validate(hooks []webhook) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range hooks {
		h, at := &hooks[i], field.NewPath("webhooks").Index(i)
		errs = append(errs, r.validateHook(at, h)...)
		errs = append(errs, r.validateVersions(at.Child("admissionReviewVersions"), h.versions)...)
		if h.name != "" && seen[h.name] && !r.repeatedNames {
			errs = append(errs, field.Duplicate(at.Child("name"), h.name))
		}
		seen[h.name] = true
	}
	return errs
}

func (r webhookRules) validateHook(at *field.Path, h *webhook) field.ErrorList {
	errs := utilvalidation.IsFullyQualifiedName(at.Child("name"), h.name)
	for i := range h.rules {
		errs = append(errs, validateRule(at.Child("rules").Index(i), &h.rules[i])...)
	}
	errs = append(errs, validateFailurePolicy(at.Child("failurePolicy"), h.failure)...)
	errs = append(errs, validateMatchPolicy(at.Child("matchPolicy"), h.match)...)
	errs = append(errs, r.validateEffects(at.Child("sideEffects"), h.effects)...)
	if t := h.timeout; t != nil && (*t < 1 || *t > 30) {
		errs = append(errs, field.Invalid(at.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	errs = append(errs, rule.Selector(at.Child("namespaceSelector"), h.namespaces, r.laxSelectors)...)
	errs = append(errs, rule.Selector(at.Child("objectSelector"), h.objects, r.laxSelectors)...)
	errs = append(errs, rule.MaybeOneOf(at.Child("reinvocationPolicy"), h.reinvocation,
		admissionregistrationv1.IfNeededReinvocationPolicy, admissionregistrationv1.NeverReinvocationPolicy)...)
	errs = append(errs, validateClient(at.Child("clientConfig"), h.client)...)
	if !r.sameConditions {
		errs = append(errs, validateConditions(at.Child("matchConditions"), h.conditions)...)
	}
	return errs
}

func noSideEffects() []admissionregistrationv1.SideEffectClass {
	return []admissionregistrationv1.SideEffectClass{
		admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.SideEffectClassNoneOnDryRun,
	}
}

func (r webhookRules) validateEffects(at *field.Path, effects *admissionregistrationv1.SideEffectClass) field.ErrorList {
	allowed := noSideEffects()
	if r.sideEffects {
		allowed = append(allowed, admissionregistrationv1.SideEffectClassSome, admissionregistrationv1.SideEffectClassUnknown)
	}
	if effects == nil {
		names := make([]string, len(allowed))
		for i, a := range allowed {
			names[i] = string(a)
		}
		return field.ErrorList{field.Required(at, "must specify one of "+strings.Join(names, ", "))}
	}
	return rule.OneOf(at, *effects, allowed...)
}

func isReviewVersion(v string) bool { return v == "v1" || v == "v1beta1" }

func (r webhookRules) validateVersions(at *field.Path, list []string) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(at, "must specify one of v1, v1beta1")}
	}
	var errs field.ErrorList
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			errs = append(errs, field.Invalid(at.Index(i), v, "duplicate version"))
			continue
		}
		errs = append(errs, rule.Messages(at.Index(i), v, utilvalidation.IsDNS1035Label(v))...)
	}
	if !r.unknownVersions && !slices.ContainsFunc(list, isReviewVersion) {
		errs = append(errs, field.Invalid(at, list, "must include at least one of v1, v1beta1"))
	}
	return errs
}

func validateClient(at *field.Path, c *admissionregistrationv1.WebhookClientConfig) field.ErrorList {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		return field.ErrorList{field.Required(at, "exactly one of url or service is required")}
	case c.URL != nil:
		return validateURL(at.Child("url"), *c.URL)
	}
	return validateService(at.Child("service"), c.Service)
}

func validateURL(at *field.Path, text string) field.ErrorList {
	const form = "; desired format: https://host[/path]"
	u, err := url.Parse(text)
	if err != nil {
		return field.ErrorList{field.Required(at, "url must be a valid URL: "+err.Error()+form)}
	}
	var errs field.ErrorList
	refuse := func(is bool, value, why string) {
		if is {
			errs = append(errs, field.Invalid(at, value, why))
		}
	}
	refuse(u.Scheme != "https", u.Scheme, "'https' is the only allowed URL scheme"+form)
	refuse(u.Host == "", u.Host, "host must be specified"+form)
	refuse(u.User != nil, u.User.Username(), "user information is not permitted in the URL")
	refuse(u.Fragment != "", u.Fragment, "fragments are not permitted in the URL")
	refuse(u.RawQuery != "", u.RawQuery, "query parameters are not permitted in the URL")
	return errs
}

func validateService(at *field.Path, s *admissionregistrationv1.ServiceReference) field.ErrorList {
	errs := rule.Given(at.Child("name"), s.Name)
	errs = append(errs, rule.Given(at.Child("namespace"), s.Namespace)...)
	if s.Port != nil {
		if bad := utilvalidation.IsValidPortNum(int(*s.Port)); len(bad) > 0 {
			errs = append(errs, field.Invalid(at.Child("port"), *s.Port, "port is not valid: "+strings.Join(bad, ", ")))
		}
	}
	if s.Path != nil {
		errs = append(errs, validateServicePath(at.Child("path"), *s.Path)...)
	}
	return errs
}

func validateServicePath(at *field.Path, path string) field.ErrorList {
	if path == "" || path == "/" {
		return nil
	}
	var errs field.ErrorList
	if path[0] != '/' {
		errs = append(errs, field.Invalid(at, path, "must start with a '/'"))
	}
	for i, segment := range strings.Split(strings.TrimSuffix(path[1:], "/"), "/") {
		if segment == "" {
			errs = append(errs, field.Invalid(at, path, fmt.Sprintf("segment[%d] may not be empty", i)))
			continue
		}
		for _, why := range utilvalidation.IsDNS1123Subdomain(segment) {
			errs = append(errs, field.Invalid(at, path, fmt.Sprintf("segment[%d]: %v", i, why)))
		}
	}
	return errs
}
