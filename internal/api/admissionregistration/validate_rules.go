package admissionregistration

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

const (
	wildcard      = "*"
	maxConditions = 64
)

// validateAlone refuses other values beside a wildcard.
func validateAlone(at *field.Path, list []string, what string) field.ErrorList {
	if len(list) > 1 && slices.Contains(list, wildcard) {
		return field.ErrorList{field.Invalid(at, list, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

// validateEach refuses empty lists and empty values in them.
func validateEach(at *field.Path, list []string) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for i, v := range list {
		errs = append(errs, rule.Given(at.Index(i), v)...)
	}
	return errs
}

func validateRule(at *field.Path, r *admissionregistrationv1.RuleWithOperations) field.ErrorList {
	all := admissionregistrationv1.OperationAll
	var errs field.ErrorList
	ops := at.Child("operations")
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(ops, ""))
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, all) {
		errs = append(errs, field.Invalid(ops, r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i, op := range r.Operations {
		errs = append(errs, rule.OneOf(ops.Index(i), op, all, admissionregistrationv1.Connect,
			admissionregistrationv1.Create, admissionregistrationv1.Delete, admissionregistrationv1.Update)...)
	}
	// The empty group is the one of pods.
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(at.Child("apiGroups"), ""))
	}
	errs = append(errs, validateAlone(at.Child("apiGroups"), r.APIGroups, "API groups")...)
	errs = append(errs, validateAlone(at.Child("apiVersions"), r.APIVersions, "API versions")...)
	errs = append(errs, validateEach(at.Child("apiVersions"), r.APIVersions)...)
	errs = append(errs, validateResources(at.Child("resources"), r.Resources)...)
	return append(errs, rule.MaybeOneOf(at.Child("scope"), r.Scope, admissionregistrationv1.AllScopes,
		admissionregistrationv1.ClusterScope, admissionregistrationv1.NamespacedScope)...)
}

// validateResources refuses values that an earlier wildcard covers.
func validateResources(at *field.Path, list []string) field.ErrorList {
	errs := validateEach(at, list)
	anySub, anyResource := map[string]bool{}, map[string]bool{}
	whole := false
	for i, value := range list {
		resource, sub, ok := strings.Cut(value, "/")
		if !ok {
			whole = value != "" && value != wildcard || whole && value == ""
			continue
		}
		if anySub[resource] {
			errs = append(errs, field.Invalid(at.Index(i), value,
				fmt.Sprintf("if '%s/*' is present, must not specify %s", resource, value)))
		}
		if anyResource[sub] {
			errs = append(errs, field.Invalid(at.Index(i), value,
				fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, value)))
		}
		anySub[resource] = anySub[resource] || sub == wildcard
		anyResource[sub] = anyResource[sub] || resource == wildcard
	}
	if len(list) > 1 && slices.Contains(list, "*/*") {
		errs = append(errs, field.Invalid(at, list, "if '*/*' is present, must not specify other resources"))
	}
	if slices.Contains(list, wildcard) && whole {
		errs = append(errs, field.Invalid(at, list,
			"if '*' is present, must not specify other resources without subresources"))
	}
	return errs
}

func validateNamedRules(at *field.Path, list []admissionregistrationv1.NamedRuleWithOperations) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		r, at := &list[i], at.Index(i)
		for k, name := range r.ResourceNames {
			errs = append(errs, rule.Name(at.Child("resourceNames").Index(k), name, meta.PathSegment)...)
		}
		errs = append(errs, rule.NoDuplicates(at.Child("resourceNames"), r.ResourceNames)...)
		errs = append(errs, validateRule(at, &r.RuleWithOperations)...)
	}
	return errs
}

func validateMatchResources(at *field.Path, m *admissionregistrationv1.MatchResources) field.ErrorList {
	var errs field.ErrorList
	if m.MatchPolicy == nil {
		errs = append(errs, field.Required(at.Child("matchPolicy"), ""))
	}
	errs = append(errs, validateMatchPolicy(at.Child("matchPolicy"), m.MatchPolicy)...)
	errs = append(errs, validateGivenSelector(at.Child("namespaceSelector"), m.NamespaceSelector)...)
	errs = append(errs, validateGivenSelector(at.Child("objectSelector"), m.ObjectSelector)...)
	errs = append(errs, validateNamedRules(at.Child("resourceRules"), m.ResourceRules)...)
	return append(errs, validateNamedRules(at.Child("excludeResourceRules"), m.ExcludeResourceRules)...)
}

// validateMutable refuses operations after which there is nothing to change.
func validateMutable(at *field.Path, m *admissionregistrationv1.MatchResources) field.ErrorList {
	var errs field.ErrorList
	for i := range m.ResourceRules {
		for _, op := range m.ResourceRules[i].Operations {
			errs = append(errs, rule.OneOf(at.Child("resourceRules", "operations"), op, admissionregistrationv1.OperationAll,
				admissionregistrationv1.Connect, admissionregistrationv1.Create, admissionregistrationv1.Update)...)
		}
	}
	return errs
}

func validateGivenSelector(at *field.Path, s *metav1.LabelSelector) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	return rule.Selector(at, s, false)
}

func validateMatchPolicy(at *field.Path, p *admissionregistrationv1.MatchPolicyType) field.ErrorList {
	return rule.MaybeOneOf(at, p, admissionregistrationv1.Equivalent, admissionregistrationv1.Exact)
}

func validateFailurePolicy(at *field.Path, p *admissionregistrationv1.FailurePolicyType) field.ErrorList {
	return rule.MaybeOneOf(at, p, admissionregistrationv1.Fail, admissionregistrationv1.Ignore)
}

// validateConditions judges names and presence. What the expressions say is judged where they are compiled.
func validateConditions(at *field.Path, list []admissionregistrationv1.MatchCondition) field.ErrorList {
	errs := rule.MaxItems(at, len(list), maxConditions)
	seen := map[string]bool{}
	for i := range list {
		c, at := &list[i], at.Index(i)
		errs = append(errs, rule.Given(at.Child("expression"), strings.TrimSpace(c.Expression))...)
		if c.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
			continue
		}
		errs = append(errs, rule.QualifiedName(at.Child("name"), c.Name)...)
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	return errs
}
