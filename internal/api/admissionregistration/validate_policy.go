package admissionregistration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Limits of the annotations that a policy adds to the audit log.
const (
	maxAuditAnnotations     = 20
	maxAuditExpressionBytes = 5 << 10
)

var celIdentifier = regexp.MustCompile("^[_a-zA-Z][_a-zA-Z0-9]*$")

// policy is what both kinds of policy have in common.
type policy struct {
	failure     *admissionregistrationv1.FailurePolicyType
	params      *admissionregistrationv1.ParamKind
	constraints *admissionregistrationv1.MatchResources
	conditions  []admissionregistrationv1.MatchCondition
	variables   []admissionregistrationv1.Variable
}

func validatingPolicy(p *admissionregistrationv1.ValidatingAdmissionPolicy) policy {
	s := &p.Spec
	return policy{s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions, s.Variables}
}

func mutatingPolicy(p *admissionregistrationv1.MutatingAdmissionPolicy) policy {
	s := &p.Spec
	return policy{s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions, s.Variables}
}

func validateValidatingPolicy(p *admissionregistrationv1.ValidatingAdmissionPolicy) field.ErrorList {
	return append(validatingPolicy(p).validate(nil), validateValidations(p)...)
}

func validateValidatingPolicyUpdate(p, old *admissionregistrationv1.ValidatingAdmissionPolicy) field.ErrorList {
	return append(validatingPolicy(p).validate(new(validatingPolicy(old))), validateValidations(p)...)
}

func validateMutatingPolicy(p *admissionregistrationv1.MutatingAdmissionPolicy) field.ErrorList {
	return append(mutatingPolicy(p).validate(nil), validateMutations(p)...)
}

func validateMutatingPolicyUpdate(p, old *admissionregistrationv1.MutatingAdmissionPolicy) field.ErrorList {
	return append(mutatingPolicy(p).validate(new(mutatingPolicy(old))), validateMutations(p)...)
}

// validate takes conditions that are as they were.
func (p policy) validate(old *policy) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if p.failure == nil {
		errs = append(errs, field.Required(at.Child("failurePolicy"), ""))
	}
	errs = append(errs, validateFailurePolicy(at.Child("failurePolicy"), p.failure)...)
	if p.params != nil {
		errs = append(errs, validateParamKind(at.Child("paramKind"), p.params)...)
	}
	constraints := at.Child("matchConstraints")
	if p.constraints == nil {
		errs = append(errs, field.Required(constraints, ""))
	} else {
		errs = append(errs, validateMatchResources(constraints, p.constraints)...)
		// Without any there is nothing to know the objects' types by.
		if len(p.constraints.ResourceRules) == 0 {
			errs = append(errs, field.Required(constraints.Child("resourceRules"), ""))
		}
	}
	if old == nil || !equality.Semantic.DeepEqual(p.params, old.params) ||
		!equality.Semantic.DeepEqual(p.conditions, old.conditions) {
		errs = append(errs, validateConditions(at.Child("matchConditions"), p.conditions)...)
	}
	for i := range p.variables {
		errs = append(errs, validateVariable(at.Child("variables").Index(i), &p.variables[i])...)
	}
	return errs
}

func validateParamKind(at *field.Path, k *admissionregistrationv1.ParamKind) field.ErrorList {
	errs := validateParamVersion(at.Child("apiVersion"), k.APIVersion)
	if k.Kind == "" {
		return append(errs, field.Required(at.Child("kind"), ""))
	}
	if bad := utilvalidation.IsDNS1035Label(strings.ToLower(k.Kind)); len(bad) > 0 {
		errs = append(errs, field.Invalid(at.Child("kind"), k.Kind,
			"may have mixed case, but should otherwise match: "+strings.Join(bad, ",")))
	}
	return errs
}

func validateParamVersion(at *field.Path, text string) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if strings.Count(text, "/") > 1 {
		return field.ErrorList{field.Invalid(at, text, "unexpected GroupVersion string: "+text)}
	}
	group, version, grouped := strings.Cut(text, "/")
	if !grouped {
		group, version = "", text
	}
	var errs field.ErrorList
	if bad := utilvalidation.IsDNS1123Subdomain(group); group != "" && len(bad) > 0 {
		errs = append(errs, field.Invalid(at, group, strings.Join(bad, ",")))
	}
	if version == "" {
		return append(errs, field.Invalid(at, text, "version must be specified"))
	}
	if bad := utilvalidation.IsDNS1035Label(version); len(bad) > 0 {
		errs = append(errs, field.Invalid(at, version, strings.Join(bad, ",")))
	}
	return errs
}

func validateVariable(at *field.Path, v *admissionregistrationv1.Variable) field.ErrorList {
	var errs field.ErrorList
	switch {
	case strings.TrimSpace(v.Name) == "":
		errs = append(errs, field.Required(at.Child("name"), "name is not specified"))
	case !celIdentifier.MatchString(v.Name) || slices.Contains(celReserved(), v.Name):
		errs = append(errs, field.Invalid(at.Child("name"), v.Name, "must be a valid CEL identifier"))
	}
	return append(errs, validateExpression(at.Child("expression"), v.Expression)...)
}

// celReserved are the words of the expression language that cannot be names.
func celReserved() []string {
	return strings.Fields("true false null in as break const continue else for function if import let loop package namespace " +
		"return var void while")
}

func validateExpression(at *field.Path, text string) field.ErrorList {
	if strings.TrimSpace(text) == "" {
		return field.ErrorList{field.Required(at, "expression is not specified")}
	}
	return nil
}

func validateValidations(p *admissionregistrationv1.ValidatingAdmissionPolicy) field.ErrorList {
	const none = "validations or auditAnnotations must contain at least one item"
	at, s := field.NewPath("spec"), &p.Spec
	if len(s.Validations)+len(s.AuditAnnotations) == 0 {
		return field.ErrorList{
			field.Required(at.Child("validations"), none), field.Required(at.Child("auditAnnotations"), none),
		}
	}
	var errs field.ErrorList
	for i := range s.Validations {
		errs = append(errs, validateValidation(at.Child("validations").Index(i), &s.Validations[i])...)
	}
	at = at.Child("auditAnnotations")
	if len(s.AuditAnnotations) > maxAuditAnnotations {
		errs = append(errs, field.Invalid(at, s.AuditAnnotations,
			fmt.Sprintf("must not have more than %d auditAnnotations", maxAuditAnnotations)))
	}
	seen := map[string]bool{}
	for i := range s.AuditAnnotations {
		a, at := &s.AuditAnnotations[i], at.Index(i)
		errs = append(errs, validateAuditAnnotation(at, p.Name, a)...)
		if seen[a.Key] {
			errs = append(errs, field.Duplicate(at.Child("key"), a.Key))
		}
		seen[a.Key] = true
	}
	return errs
}

func validateValidation(at *field.Path, v *admissionregistrationv1.Validation) field.ErrorList {
	errs := validateExpression(at.Child("expression"), v.Expression)
	blank := func(name, text string) bool {
		if text == "" || strings.TrimSpace(text) != "" {
			return false
		}
		errs = append(errs, field.Invalid(at.Child(name), text, "must be non-empty if specified"))
		return true
	}
	blank("messageExpression", v.MessageExpression)
	if !blank("message", v.Message) && strings.ContainsAny(strings.TrimSpace(v.Message), "\n\r") {
		errs = append(errs, field.Invalid(at.Child("message"), v.Message, "must not contain line breaks"))
	}
	return append(errs, rule.MaybeOneOf(at.Child("reason"), v.Reason,
		metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge)...)
}

func validateAuditAnnotation(at *field.Path, policy string, a *admissionregistrationv1.AuditAnnotation) field.ErrorList {
	var errs field.ErrorList
	if policy == "" {
		errs = append(errs, field.Invalid(at.Child("key"), a.Key, "requires metadata.name be non-empty"))
	} else {
		errs = append(errs, rule.QualifiedName(at.Child("key"), policy+"/"+a.Key)...)
	}
	switch text := strings.TrimSpace(a.ValueExpression); {
	case text == "":
		errs = append(errs, field.Required(at.Child("valueExpression"), "valueExpression is not specified"))
	case len(text) > maxAuditExpressionBytes:
		errs = append(errs, field.Required(at.Child("valueExpression"),
			fmt.Sprintf("must not exceed %d bytes in length", maxAuditExpressionBytes)))
	}
	return errs
}

func validateMutations(p *admissionregistrationv1.MutatingAdmissionPolicy) field.ErrorList {
	at, s := field.NewPath("spec"), &p.Spec
	var errs field.ErrorList
	if s.MatchConstraints != nil {
		errs = append(errs, validateMutable(at.Child("matchConstraints"), s.MatchConstraints)...)
	}
	if len(s.Mutations) == 0 {
		errs = append(errs, field.Required(at.Child("mutations"), "mutations must contain at least one item"))
	}
	for i := range s.Mutations {
		errs = append(errs, validateMutation(at.Child("mutations").Index(i), &s.Mutations[i])...)
	}
	return append(errs, rule.GivenOneOf(at.Child("reinvocationPolicy"), s.ReinvocationPolicy,
		admissionregistrationv1.IfNeededReinvocationPolicy, admissionregistrationv1.NeverReinvocationPolicy)...)
}

func validateMutation(at *field.Path, m *admissionregistrationv1.Mutation) field.ErrorList {
	const patch, apply = admissionregistrationv1.PatchTypeJSONPatch, admissionregistrationv1.PatchTypeApplyConfiguration
	if m.PatchType != patch && m.PatchType != apply {
		return rule.GivenOneOf(at.Child("patchType"), m.PatchType, apply, patch)
	}
	var errs field.ErrorList
	judge := func(name string, wanted, set bool, expression string) {
		at := at.Child(name)
		switch {
		case wanted && !set:
			errs = append(errs, field.Required(at, fmt.Sprintf("must be specified when patchType is %s", m.PatchType)))
		case wanted:
			errs = append(errs, rule.Given(at.Child("expression"), strings.TrimSpace(expression))...)
		case set:
			errs = append(errs, field.Invalid(at, "{"+name+"}",
				fmt.Sprintf("must not be specified when patchType is %s", m.PatchType)))
		}
	}
	var patchText, applyText string
	if m.JSONPatch != nil {
		patchText = m.JSONPatch.Expression
	}
	if m.ApplyConfiguration != nil {
		applyText = m.ApplyConfiguration.Expression
	}
	judge("jsonPatch", m.PatchType == patch, m.JSONPatch != nil, patchText)
	judge("applyConfiguration", m.PatchType == apply, m.ApplyConfiguration != nil, applyText)
	return errs
}

func validatePolicyStatus(p, _ *admissionregistrationv1.ValidatingAdmissionPolicy) field.ErrorList {
	at := field.NewPath("status")
	var errs field.ErrorList
	if t := p.Status.TypeChecking; t != nil {
		for i, w := range t.ExpressionWarnings {
			at := at.Child("typeChecking", "expressionWarnings").Index(i)
			errs = append(errs, rule.Given(at.Child("warning"), w.Warning)...)
			errs = append(errs, rule.Given(at.Child("fieldRef"), strings.TrimSpace(w.FieldRef))...)
		}
	}
	return append(errs, metavalidation.ValidateConditions(p.Status.Conditions, at.Child("conditions"))...)
}
