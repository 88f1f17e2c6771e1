package authz

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"coracle.dev/coracle/internal/apiserver/request"
)

// RuleAllows tells whether one rule allows the call.
func RuleAllows(a *request.Attributes, rule *rbacv1.PolicyRule) bool {
	if !a.IsResource {
		return matches(rule.Verbs, a.Verb) && urlMatches(rule.NonResourceURLs, a.Path)
	}
	return matches(rule.Verbs, a.Verb) && matches(rule.APIGroups, a.Group) &&
		resourceMatches(rule.Resources, a.Resource, a.Subresource) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

// RulesAllow tells whether any of the rules allows the call.
func RulesAllow(a *request.Attributes, rules []rbacv1.PolicyRule) bool {
	for i := range rules {
		if RuleAllows(a, &rules[i]) {
			return true
		}
	}
	return false
}

// matches knows the wildcard that verbs, groups and resources share.
func matches(allowed []string, asked string) bool {
	for _, s := range allowed {
		if s == "*" || s == asked {
			return true
		}
	}
	return false
}

// resourceMatches knows "*", "resource", "resource/subresource" and "*/subresource". As upstream, "resource/*" is no wildcard:
// it would silently widen when a resource gains a subresource.
func resourceMatches(allowed []string, resource, subresource string) bool {
	for _, s := range allowed {
		if s == "*" {
			return true
		}
		if subresource == "" {
			if s == resource {
				return true
			}
			continue
		}
		left, right, ok := strings.Cut(s, "/")
		if ok && right == subresource && (left == "*" || left == resource) {
			return true
		}
	}
	return false
}

func urlMatches(allowed []string, path string) bool {
	for _, s := range allowed {
		if s == "*" || s == path {
			return true
		}
		if prefix, ok := strings.CutSuffix(s, "*"); ok && strings.HasPrefix(path, strings.TrimRight(prefix, "*")) {
			return true
		}
	}
	return false
}

// compactRules joins rules that differ only in their verbs, to be read by people.
func compactRules(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	at := map[string]int{}
	for _, r := range rules {
		simple := len(r.APIGroups) == 1 && len(r.Resources) == 1 && len(r.NonResourceURLs) == 0 && len(r.ResourceNames) <= 1
		if !simple {
			out = append(out, r)
			continue
		}
		key := r.APIGroups[0] + "\x00" + r.Resources[0] + "\x00" + strings.Join(r.ResourceNames, "")
		i, seen := at[key]
		if !seen {
			at[key] = len(out)
			r.Verbs = slices.Clone(r.Verbs)
			out = append(out, r)
			continue
		}
		for _, verb := range r.Verbs {
			if !slices.Contains(out[i].Verbs, verb) {
				out[i].Verbs = append(out[i].Verbs, verb)
			}
		}
	}
	return out
}

// describeRule prints a rule in one line, as kubectl's users know it from refused role writes.
func describeRule(r *rbacv1.PolicyRule) string {
	var parts []string
	add := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", name, values))
		}
	}
	add("APIGroups", r.APIGroups)
	add("Resources", r.Resources)
	add("NonResourceURLs", r.NonResourceURLs)
	add("ResourceNames", r.ResourceNames)
	add("Verbs", r.Verbs)
	return "{" + strings.Join(parts, ", ") + "}"
}
