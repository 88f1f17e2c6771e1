package apiextensions

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

const maxWarningBytes = 256

// mixedCase introduces what is wrong with a kind beyond its case.
const mixedCase = "may have mixed case, but should otherwise match: "

func validateDefinition(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	errs := validateDefinitionName(d)
	errs = append(errs, validateBody(d)...)
	return append(errs, validateApproval(d, nil)...)
}

// validateDefinitionUpdate: what is in the paths under which objects are stored cannot change, and once the kind is served its
// scope and name cannot either.
func validateDefinitionUpdate(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateBody(d)
	if apihelpers.IsCRDConditionTrue(old, apiextensionsv1.Established) {
		errs = append(errs, rule.Unchanged(at.Child("scope"), d.Spec.Scope, old.Spec.Scope)...)
		errs = append(errs, rule.Unchanged(at.Child("names", "kind"), d.Spec.Names.Kind, old.Spec.Names.Kind)...)
	}
	errs = append(errs, rule.Unchanged(at.Child("group"), d.Spec.Group, old.Spec.Group)...)
	errs = append(errs, rule.Unchanged(at.Child("names", "plural"), d.Spec.Names.Plural, old.Spec.Names.Plural)...)
	return append(errs, validateApproval(d, old)...)
}

func validateDefinitionStatus(d, _ *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	errs := validateNames(field.NewPath("status", "acceptedNames"), &d.Status.AcceptedNames)
	return append(errs, validateStoredVersions(d)...)
}

func validateDefinitionName(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	if d.Name == d.Spec.Names.Plural+"."+d.Spec.Group {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), d.Name, `must be spec.names.plural+"."+spec.group`)}
}

// validateBody judges the definition but for what its schemas say, which is judged where they are compiled.
func validateBody(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	at, s := field.NewPath("spec"), &d.Spec
	errs := validateGroup(at.Child("group"), s.Group)
	errs = append(errs, rule.GivenOneOf(at.Child("scope"), s.Scope,
		apiextensionsv1.ClusterScoped, apiextensionsv1.NamespaceScoped)...)
	if s.PreserveUnknownFields {
		errs = append(errs, field.Invalid(at.Child("preserveUnknownFields"), true,
			"cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"))
	}
	errs = append(errs, validateVersions(at.Child("versions"), s.Versions)...)
	names := at.Child("names")
	errs = append(errs, rule.Given(names.Child("plural"), s.Names.Plural)...)
	errs = append(errs, rule.Given(names.Child("singular"), s.Names.Singular)...)
	errs = append(errs, rule.Given(names.Child("kind"), s.Names.Kind)...)
	errs = append(errs, rule.Given(names.Child("listKind"), s.Names.ListKind)...)
	errs = append(errs, validateNames(names, &s.Names)...)
	errs = append(errs, validateConversion(at.Child("conversion"), s.Conversion)...)
	return append(errs, validateStoredVersions(d)...)
}

func validateGroup(at *field.Path, group string) field.ErrorList {
	if group == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if bad := utilvalidation.IsDNS1123Subdomain(group); len(bad) > 0 {
		return field.ErrorList{field.Invalid(at, group, strings.Join(bad, ","))}
	}
	if !strings.Contains(group, ".") {
		return field.ErrorList{field.Invalid(at, group, "should be a domain with at least one dot")}
	}
	return nil
}

func validateVersions(at *field.Path, list []apiextensionsv1.CustomResourceDefinitionVersion) field.ErrorList {
	var errs field.ErrorList
	seen, repeated, stored := map[string]bool{}, false, 0
	for i := range list {
		v, at := &list[i], at.Index(i)
		if v.Storage {
			stored++
		}
		repeated = repeated || seen[v.Name]
		seen[v.Name] = true
		errs = append(errs, validateWord(at.Child("name"), v.Name, "")...)
		errs = append(errs, validateVersion(at, v)...)
	}
	if repeated {
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "must contain unique version names"))
	}
	if stored != 1 {
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "must have exactly one version marked as storage version"))
	}
	return errs
}

func validateVersion(at *field.Path, v *apiextensionsv1.CustomResourceDefinitionVersion) field.ErrorList {
	var errs field.ErrorList
	schema := at.Child("schema", "openAPIV3Schema")
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		errs = append(errs, field.Required(schema, ""))
	} else if t := v.Schema.OpenAPIV3Schema.Type; t == "" {
		errs = append(errs, field.Required(schema.Child("type"), "must not be empty at the root"))
	} else if t != "object" {
		errs = append(errs, field.Invalid(schema.Child("type"), t, "must be object at the root"))
	}
	if w := v.DeprecationWarning; w != nil {
		at := at.Child("deprecationWarning")
		if !v.Deprecated {
			errs = append(errs, field.Invalid(at, *w, "can only be set for deprecated versions"))
		}
		if len(*w) > maxWarningBytes {
			errs = append(errs, field.Invalid(at, *w, fmt.Sprintf("must be <= %d bytes", maxWarningBytes)))
		}
		if *w == "" {
			errs = append(errs, field.Invalid(at, *w, "must not be empty"))
		}
	}
	return errs
}

// validateWord judges a DNS label; its errors are one.
func validateWord(at *field.Path, word, introduction string) field.ErrorList {
	judged := word
	if introduction != "" {
		judged = strings.ToLower(word)
	}
	if bad := utilvalidation.IsDNS1035Label(judged); len(bad) > 0 {
		return field.ErrorList{field.Invalid(at, word, introduction+strings.Join(bad, ","))}
	}
	return nil
}

func validateNames(at *field.Path, n *apiextensionsv1.CustomResourceDefinitionNames) field.ErrorList {
	var errs field.ErrorList
	given := func(name, word, introduction string) {
		if word != "" {
			errs = append(errs, validateWord(at.Child(name), word, introduction)...)
		}
	}
	given("plural", n.Plural, "")
	given("singular", n.Singular, "")
	given("kind", n.Kind, mixedCase)
	given("listKind", n.ListKind, mixedCase)
	for i, word := range n.ShortNames {
		errs = append(errs, validateWord(at.Child("shortNames").Index(i), word, "")...)
	}
	if n.Kind != "" && n.Kind == n.ListKind {
		errs = append(errs, field.Invalid(at.Child("listKind"), n.ListKind, "kind and listKind may not be the same"))
	}
	for i, word := range n.Categories {
		errs = append(errs, validateWord(at.Child("categories").Index(i), word, "")...)
	}
	return errs
}

func validateConversion(at *field.Path, c *apiextensionsv1.CustomResourceConversion) field.ErrorList {
	if c == nil {
		return nil
	}
	errs := rule.GivenOneOf(at.Child("strategy"), c.Strategy, apiextensionsv1.NoneConverter, apiextensionsv1.WebhookConverter)
	switch {
	case c.Strategy != apiextensionsv1.WebhookConverter:
		if c.Webhook != nil {
			errs = append(errs, field.Forbidden(at.Child("webhookClientConfig"),
				"should not be set when strategy is not set to Webhook"))
		}
	case c.Webhook == nil || c.Webhook.ClientConfig == nil:
		errs = append(errs, field.Required(at.Child("webhookClientConfig"), "required when strategy is set to Webhook"))
	case (c.Webhook.ClientConfig.URL == nil) == (c.Webhook.ClientConfig.Service == nil):
		errs = append(errs, field.Required(at.Child("webhookClientConfig"), "exactly one of url or service is required"))
	}
	return errs
}

// validateStoredVersions keeps versions in which objects may be stored.
func validateStoredVersions(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	at, stored := field.NewPath("status", "storedVersions"), d.Status.StoredVersions
	if len(stored) == 0 {
		return field.ErrorList{field.Invalid(at, stored, "must have at least one stored version")}
	}
	var errs field.ErrorList
	known := map[string]bool{}
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		known[v.Name] = true
		if v.Storage && !slices.Contains(stored, v.Name) {
			errs = append(errs, field.Invalid(at, stored, "must have the storage version "+v.Name))
		}
	}
	for i, name := range stored {
		if !known[name] {
			errs = append(errs, field.Invalid(at.Index(i), name, fmt.Sprintf("missing from spec.versions; %[1]s was previously "+
				"a storage version, and must remain in spec.versions until a storage migration ensures no data remains "+
				"persisted in %[1]s and removes %[1]s from status.storedVersions", name)))
		}
	}
	return errs
}

// validateApproval wants a reference to a review for groups of the Kubernetes community.
func validateApproval(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	if !apihelpers.IsProtectedCommunityGroup(d.Spec.Group) {
		return nil
	}
	state, why := apihelpers.GetAPIApprovalState(d.Annotations)
	if old != nil {
		if before, _ := apihelpers.GetAPIApprovalState(old.Annotations); before == state {
			return nil
		}
	}
	key := apiextensionsv1.KubeAPIApprovedAnnotation
	at := field.NewPath("metadata", "annotations").Key(key)
	switch state {
	case apihelpers.APIApproved, apihelpers.APIApprovalBypassed:
		return nil
	case apihelpers.APIApprovalMissing:
		return field.ErrorList{field.Required(at, why)}
	default:
		return field.ErrorList{field.Invalid(at, d.Annotations[key], why)}
	}
}
