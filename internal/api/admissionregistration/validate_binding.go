package admissionregistration

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateValidatingBinding(b *admissionregistrationv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	errs := validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	return append(errs, validateActions(field.NewPath("spec", "validationActions"), b.Spec.ValidationActions)...)
}

func validateValidatingBindingUpdate(b, _ *admissionregistrationv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	return validateValidatingBinding(b)
}

func validateMutatingBinding(b *admissionregistrationv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	errs := validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	if b.Spec.MatchResources != nil {
		errs = append(errs, validateMutable(field.NewPath("spec", "matchResources"), b.Spec.MatchResources)...)
	}
	return errs
}

func validateMutatingBindingUpdate(b, _ *admissionregistrationv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	return validateMutatingBinding(b)
}

func validateBinding(
	name string, params *admissionregistrationv1.ParamRef, match *admissionregistrationv1.MatchResources,
) field.ErrorList {
	at := field.NewPath("spec")
	errs := rule.GivenName(at.Child("policyName"), name, meta.DNSSubdomain)
	if params != nil {
		errs = append(errs, validateParamRef(at.Child("paramRef"), params)...)
	}
	if match != nil {
		errs = append(errs, validateMatchResources(at.Child("matchResources"), match)...)
	}
	return errs
}

func validateParamRef(at *field.Path, r *admissionregistrationv1.ParamRef) field.ErrorList {
	const exclusive = "name and selector are mutually exclusive"
	var errs field.ErrorList
	if r.Name != "" {
		errs = append(errs, rule.Name(at.Child("name"), r.Name, meta.PathSegment)...)
	}
	errs = append(errs, rule.Selector(at.Child("selector"), r.Selector, false)...)
	switch {
	case r.Name != "" && r.Selector != nil:
		errs = append(errs, field.Forbidden(at.Child("name"), exclusive), field.Forbidden(at.Child("selector"), exclusive))
	case r.Name == "" && r.Selector == nil:
		errs = append(errs, field.Required(at, "one of name or selector must be specified"))
	}
	return append(errs, rule.GivenOneOf(at.Child("parameterNotFoundAction"), meta.Deref(r.ParameterNotFoundAction),
		admissionregistrationv1.DenyAction, admissionregistrationv1.AllowAction)...)
}

func validateActions(at *field.Path, list []admissionregistrationv1.ValidationAction) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for i, a := range list {
		errs = append(errs, rule.OneOf(at.Index(i), a,
			admissionregistrationv1.Audit, admissionregistrationv1.Deny, admissionregistrationv1.Warn)...)
	}
	errs = append(errs, rule.NoDuplicates(at, list)...)
	if slices.Contains(list, admissionregistrationv1.Deny) && slices.Contains(list, admissionregistrationv1.Warn) {
		errs = append(errs, field.Invalid(at, list, "must not contain both Deny and Warn (repeating the same validation failure "+
			"information in the API response and headers serves no purpose)"))
	}
	return errs
}
