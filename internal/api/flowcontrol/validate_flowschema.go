package flowcontrol

import (
	"fmt"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

const wildcard = "*"

func verbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}
}

func validateSchemaUpdate(f, _ *flowcontrolv1.FlowSchema) field.ErrorList { return validateSchema(f) }

func validateSchema(f *flowcontrolv1.FlowSchema) field.ErrorList {
	at, s := field.NewPath("spec"), &f.Spec
	errs := validatePrecedence(at.Child("matchingPrecedence"), f)
	if m := s.DistinguisherMethod; m != nil {
		errs = append(errs, rule.OneOf(at.Child("distinguisherMethod", "type"), m.Type,
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType)...)
	}
	level := at.Child("priorityLevelConfiguration", "name")
	if s.PriorityLevelConfiguration.Name == "" {
		errs = append(errs, field.Required(level, "must reference a priority level"))
	} else {
		errs = append(errs, rule.DNSSubdomain(level, s.PriorityLevelConfiguration.Name)...)
	}
	for i := range s.Rules {
		errs = append(errs, validateRules(at.Child("rules").Index(i), &s.Rules[i])...)
	}
	if fixed, ok := mandatorySchema(f.Name); ok && !equality.Semantic.DeepEqual(f.Spec, fixed) {
		errs = append(errs, field.Invalid(at, f.Spec, fmt.Sprintf("spec of '%s' must equal the fixed value", f.Name)))
	}
	return append(errs, validateSchemaConditions(f)...)
}

func validatePrecedence(at *field.Path, f *flowcontrolv1.FlowSchema) field.ErrorList {
	n := f.Spec.MatchingPrecedence
	switch {
	case n <= 0:
		return field.ErrorList{field.Invalid(at, n, "must be a positive value")}
	case n > flowcontrolv1.FlowSchemaMaxMatchingPrecedence:
		return field.ErrorList{field.Invalid(at, n,
			fmt.Sprintf("must not be greater than %v", flowcontrolv1.FlowSchemaMaxMatchingPrecedence))}
	case n == 1 && f.Name != flowcontrolv1.FlowSchemaNameExempt:
		return field.ErrorList{field.Invalid(at, n, "only the schema named 'exempt' may have matchingPrecedence 1")}
	}
	return nil
}

func validateSchemaConditions(f *flowcontrolv1.FlowSchema) field.ErrorList {
	types := make([]string, len(f.Status.Conditions))
	for i := range types {
		types[i] = string(f.Status.Conditions[i].Type)
	}
	return validateConditionTypes(types)
}

func validateSchemaStatus(f, _ *flowcontrolv1.FlowSchema) field.ErrorList {
	return validateSchemaConditions(f)
}

func validateConditionTypes(types []string) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, t := range types {
		at := field.NewPath("status", "conditions").Index(i).Child("type")
		if seen[t] {
			errs = append(errs, field.Duplicate(at, t))
		}
		seen[t] = true
		errs = append(errs, rule.Given(at, t)...)
	}
	return errs
}

func validateRules(at *field.Path, r *flowcontrolv1.PolicyRulesWithSubjects) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(at.Child("subjects"), "subjects must contain at least one value"))
	}
	for i := range r.Subjects {
		errs = append(errs, validateSubject(at.Child("subjects").Index(i), &r.Subjects[i])...)
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i := range r.ResourceRules {
		errs = append(errs, validateResourceRule(at.Child("resourceRules").Index(i), &r.ResourceRules[i])...)
	}
	for i := range r.NonResourceRules {
		errs = append(errs, validateURLRule(at.Child("nonResourceRules").Index(i), &r.NonResourceRules[i])...)
	}
	return errs
}

// validateSubject wants the field of the subject's kind and none of the others.
func validateSubject(at *field.Path, s *flowcontrolv1.Subject) field.ErrorList {
	var errs field.ErrorList
	known := false
	of := func(kind flowcontrolv1.SubjectKind, name string, set bool, judge func(at *field.Path) field.ErrorList) {
		switch {
		case kind == s.Kind && !set:
			known = true
			errs = append(errs, field.Required(at.Child(name),
				fmt.Sprintf("%s is required when subject kind is '%s'", name, kind)))
		case kind == s.Kind:
			known = true
			errs = append(errs, judge(at.Child(name))...)
		case set:
			errs = append(errs, field.Forbidden(at.Child(name),
				fmt.Sprintf("%s is forbidden when subject kind is not '%s'", name, kind)))
		}
	}
	of(flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil,
		func(at *field.Path) field.ErrorList { return validateAccount(at, s.ServiceAccount) })
	of(flowcontrolv1.SubjectKindUser, "user", s.User != nil,
		func(at *field.Path) field.ErrorList { return rule.Given(at.Child("name"), s.User.Name) })
	of(flowcontrolv1.SubjectKindGroup, "group", s.Group != nil,
		func(at *field.Path) field.ErrorList { return rule.Given(at.Child("name"), s.Group.Name) })
	if !known {
		return field.ErrorList{field.NotSupported(at.Child("kind"), s.Kind, []flowcontrolv1.SubjectKind{
			flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser,
		})}
	}
	return errs
}

func validateAccount(at *field.Path, a *flowcontrolv1.ServiceAccountSubject) field.ErrorList {
	errs := rule.Given(at.Child("name"), a.Name)
	if a.Name != "" && a.Name != flowcontrolv1.NameAll {
		errs = append(errs, rule.DNSSubdomain(at.Child("name"), a.Name)...)
	}
	if a.Namespace == "" {
		return append(errs, field.Required(at.Child("namespace"), "must specify namespace for service account"))
	}
	return append(errs, rule.Name(at.Child("namespace"), a.Namespace, meta.DNSLabel)...)
}

func validateVerbs(at *field.Path, list []string) field.ErrorList {
	switch {
	case len(list) == 0:
		return field.ErrorList{field.Required(at, "verbs must contain at least one value")}
	case slices.Contains(list, wildcard):
		return validateAlone(at, list, "verbs")
	case slices.ContainsFunc(list, func(v string) bool { return !slices.Contains(verbs(), v) }):
		return field.ErrorList{field.NotSupported(at, list, verbs())}
	}
	return nil
}

// validateAlone refuses other values beside a wildcard.
func validateAlone(at *field.Path, list []string, what string) field.ErrorList {
	if len(list) > 1 && slices.Contains(list, wildcard) {
		return field.ErrorList{field.Invalid(at, list, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

func validateURLRule(at *field.Path, r *flowcontrolv1.NonResourcePolicyRule) field.ErrorList {
	errs := validateVerbs(at.Child("verbs"), r.Verbs)
	at = at.Child("nonResourceURLs")
	switch {
	case len(r.NonResourceURLs) == 0:
		return append(errs, field.Required(at, "nonResourceURLs must contain at least one value"))
	case slices.Contains(r.NonResourceURLs, wildcard):
		return append(errs, validateAlone(at, r.NonResourceURLs, "non-resource URLs")...)
	}
	for i, url := range r.NonResourceURLs {
		if why := urlProblem(url); why != "" {
			errs = append(errs, field.Invalid(at.Index(i), url, why))
		}
	}
	return errs
}

func urlProblem(url string) string {
	stars := strings.Count(url, wildcard)
	switch {
	case url == "":
		return "must not be empty"
	case url == "/":
		return ""
	case !strings.HasPrefix(url, "/"):
		return "must start with slash"
	case strings.Contains(url, " "):
		return "must not contain white-space"
	case strings.Contains(url, "//"):
		return "must not contain double slash"
	case stars > 1 || stars == 1 && !strings.HasSuffix(url, "/*"):
		return "wildcard can only do suffix matching"
	}
	return ""
}

func validateResourceRule(at *field.Path, r *flowcontrolv1.ResourcePolicyRule) field.ErrorList {
	errs := validateVerbs(at.Child("verbs"), r.Verbs)
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
	}
	errs = append(errs, validateAlone(at.Child("apiGroups"), r.APIGroups, "api groups")...)
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
	}
	errs = append(errs, validateAlone(at.Child("resources"), r.Resources, "resources")...)
	at = at.Child("namespaces")
	switch {
	case len(r.Namespaces) == 0 && !r.ClusterScope:
		return append(errs, field.Required(at,
			"resource rules that are not cluster scoped must supply at least one namespace"))
	case slices.Contains(r.Namespaces, wildcard):
		return append(errs, validateAlone(at, r.Namespaces, "namespaces")...)
	}
	for i, ns := range r.Namespaces {
		for _, why := range meta.DNSLabel(ns, false) {
			errs = append(errs, field.Invalid(at.Index(i), ns,
				"each member of this list must be '*' or a DNS-1123 label; "+why))
		}
	}
	return errs
}
