package resource

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of names and opaque data, in bytes.
const (
	maxIDBytes         = 32
	maxPoolBytes       = 253
	maxParameterBytes  = 10 << 10
	maxExpressionBytes = 10 << 10
)

var identifier = regexp.MustCompile("^[A-Za-z_][A-Za-z0-9_]*$")

// validatePool judges the name of a pool: DNS subdomains with slashes between.
func validatePool(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := rule.MaxBytes(at, name, maxPoolBytes)
	for part := range strings.SplitSeq(name, "/") {
		errs = append(errs, rule.DNSSubdomain(at, part)...)
	}
	return errs
}

// validateAttributeName judges the name of an attribute or capacity, which may have a domain.
func validateAttributeName(at *field.Path, name string) field.ErrorList {
	domain, id, ok := strings.Cut(name, "/")
	if !ok {
		return validateID(at, name)
	}
	if strings.Contains(id, "/") {
		// A name with several slashes has always been let through.
		return nil
	}
	var errs field.ErrorList
	if domain == "" {
		errs = append(errs, field.Invalid(at, "", "the domain must not be empty"))
	} else {
		errs = append(errs, core.ValidateCSIDriverName(at, domain)...)
	}
	if id == "" {
		return append(errs, field.Invalid(at, "", "the name must not be empty"))
	}
	return append(errs, validateID(at, id)...)
}

func validateID(at *field.Path, id string) field.ErrorList {
	errs := rule.MaxBytes(at, id, maxIDBytes)
	if !identifier.MatchString(id) {
		errs = append(errs, field.Invalid(at, id, utilvalidation.RegexError("a valid C identifier must start with alphabetic "+
			"character or '_', followed by a string of alphanumeric characters or '_'",
			"[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName")))
	}
	return errs
}

// validateFullName wants a domain.
func validateFullName(at *field.Path, name resourcev1.FullyQualifiedName) field.ErrorList {
	errs := validateAttributeName(at, string(name))
	if !strings.Contains(string(name), "/") {
		errs = append(errs, field.Invalid(at, name, "a fully qualified name must be a domain and a name separated by a slash"))
	}
	return errs
}

// validateParameters wants a JSON object. Data that was stored already may be of any size.
func validateParameters(at *field.Path, p runtime.RawExtension, stored bool) field.ErrorList {
	const omitted = "<value omitted>"
	var value any
	switch {
	case len(p.Raw) == 0:
		return field.ErrorList{field.Required(at, "")}
	case !stored && len(p.Raw) > maxParameterBytes:
		return field.ErrorList{field.TooLong(at, "", maxParameterBytes)}
	}
	if err := json.Unmarshal(p.Raw, &value); err != nil {
		return field.ErrorList{field.Invalid(at, omitted, fmt.Sprintf("error parsing data as JSON: %v", err))}
	}
	if value == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	if _, ok := value.(map[string]any); !ok {
		return field.ErrorList{field.Invalid(at, omitted, "must be a valid JSON object")}
	}
	return nil
}

func validateConfiguration(at *field.Path, c resourcev1.DeviceConfiguration, stored bool) field.ErrorList {
	at = at.Child("opaque")
	if c.Opaque == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := rule.DriverName(at.Child("driver"), c.Opaque.Driver)
	return append(errs, validateParameters(at.Child("parameters"), c.Opaque.Parameters, stored)...)
}

// validateSelectors judges presence and size. What the expressions say is judged where they are compiled.
func validateSelectors(at *field.Path, list []resourcev1.DeviceSelector, stored bool) field.ErrorList {
	if len(list) > resourcev1.DeviceSelectorsMaxSize {
		return rule.MaxItems(at, len(list), resourcev1.DeviceSelectorsMaxSize)
	}
	var errs field.ErrorList
	for i, s := range list {
		at := at.Index(i).Child("cel")
		switch {
		case s.CEL == nil:
			errs = append(errs, field.Required(at, ""))
		case !stored:
			errs = append(errs, rule.MaxBytes(at.Child("expression"), s.CEL.Expression, maxExpressionBytes)...)
		}
	}
	return errs
}

func validateLabelValue(at *field.Path, value string) field.ErrorList {
	return rule.Messages(at, value, utilvalidation.IsValidLabelValue(value))
}
