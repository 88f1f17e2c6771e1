package rule

import (
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Texts that several checks share.
const (
	Immutable  = validation.FieldImmutableErrorMsg
	notInteger = "must be an integer"
	notAbove0  = "must be greater than zero"
)

// Messages makes an Invalid error of each message about a value.
func Messages(at *field.Path, value any, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, m := range messages {
		errs = append(errs, field.Invalid(at, value, m))
	}
	return errs
}

// Name judges a value by a name rule such as meta.DNSSubdomain.
func Name(at *field.Path, value string, rule func(name string, prefix bool) []string) field.ErrorList {
	return Messages(at, value, rule(value, false))
}

// Given refuses an empty value.
func Given[T ~string](at *field.Path, value T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return nil
}

// GivenName refuses an empty value, and judges any other by a name rule.
func GivenName(at *field.Path, value string, rule func(name string, prefix bool) []string) field.ErrorList {
	if value == "" {
		return Given(at, value)
	}
	return Name(at, value, rule)
}

// Unchanged refuses any change of a field; empty and absent lists and maps are the same.
func Unchanged(at *field.Path, now, before any) field.ErrorList {
	return validation.ValidateImmutableField(now, before, at)
}

// Fixed is Unchanged for fields whose errors do not show the value.
func Fixed(at *field.Path, now, before any) field.ErrorList {
	if len(Unchanged(at, now, before)) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, nil, Immutable)}
}

// OneOf refuses values that are not allowed. The error names the allowed ones in the order given.
func OneOf[T ~string](at *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, value, allowed)}
}

// GivenOneOf is OneOf with an error of its own for the empty value.
func GivenOneOf[T ~string](at *field.Path, value T, allowed ...T) field.ErrorList {
	if value == "" {
		return Given(at, value)
	}
	return OneOf(at, value, allowed...)
}

// MaybeOneOf is OneOf for a field that may be absent.
func MaybeOneOf[T ~string](at *field.Path, value *T, allowed ...T) field.ErrorList {
	if value == nil {
		return nil
	}
	return OneOf(at, *value, allowed...)
}

// NonNegative refuses numbers below zero.
func NonNegative[T ~int32 | ~int64](at *field.Path, n T) field.ErrorList {
	return validation.ValidateNonnegativeField(int64(n), at)
}

// MaybeNonNegative is NonNegative for a field that may be absent.
func MaybeNonNegative[T ~int32 | ~int64](at *field.Path, n *T) field.ErrorList {
	if n == nil {
		return nil
	}
	return NonNegative(at, *n)
}

// Positive refuses zero and numbers below.
func Positive[T ~int32 | ~int64](at *field.Path, n T) field.ErrorList {
	if n > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, int64(n), notAbove0)}
}

// NonNegativeQuantity refuses quantities below zero.
func NonNegativeQuantity(at *field.Path, q resource.Quantity) field.ErrorList {
	if q.Sign() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, q.String(), validation.IsNegativeErrorMsg)}
}

// PositiveQuantity refuses zero and quantities below.
func PositiveQuantity(at *field.Path, q resource.Quantity) field.ErrorList {
	if q.Sign() > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, q.String(), notAbove0)}
}

// WholeQuantity refuses fractions.
func WholeQuantity(at *field.Path, q resource.Quantity) field.ErrorList {
	if q.MilliValue()%1000 == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, q, notInteger)}
}

// DNSLabel judges a value as a DNS-1123 label.
func DNSLabel(at *field.Path, value string) field.ErrorList {
	return Messages(at, value, utilvalidation.IsDNS1123Label(value))
}

// GivenDNSLabel is DNSLabel with an error of its own for the empty value.
func GivenDNSLabel(at *field.Path, value string) field.ErrorList {
	if value == "" {
		return Given(at, value)
	}
	return DNSLabel(at, value)
}

// DNSSubdomain judges a value as a DNS-1123 subdomain.
func DNSSubdomain(at *field.Path, value string) field.ErrorList {
	return Messages(at, value, utilvalidation.IsDNS1123Subdomain(value))
}

// ShortName judges a value as DNSLabel does, in the words of the fields whose rules upstream generates.
func ShortName(at *field.Path, value string) field.ErrorList {
	if value == "" {
		return Given(at, value)
	}
	return Messages(at, value, content.IsDNS1123Label(value))
}

// maxDriver is how long the name of a driver can be, in characters.
const maxDriver = 63

// DriverName judges the name of a driver that must be given: a DNS subdomain in any case. Like ShortName it is for fields whose
// rules upstream generates.
func DriverName(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return Given(at, name)
	}
	errs := Messages(at, name, content.IsDNS1123SubdomainCaseless(name)) //nolint:staticcheck // what these fields always allowed
	if utf8.RuneCountInString(name) > maxDriver {
		errs = append(errs, field.TooLongCharacters(at, name, maxDriver))
	}
	return errs
}

// QualifiedName judges a name that may have a DNS prefix and a slash, such as a label key.
func QualifiedName(at *field.Path, value string) field.ErrorList {
	return Messages(at, value, utilvalidation.IsQualifiedName(value))
}

// LabelKey judges the key of a label.
func LabelKey(at *field.Path, key string) field.ErrorList {
	return metavalidation.ValidateLabelName(key, at)
}

// LabelValues judges the values that a selector compares a label with.
func LabelValues(at *field.Path, values []string) field.ErrorList {
	var errs field.ErrorList
	for i, v := range values {
		errs = append(errs, Messages(at.Index(i), v, utilvalidation.IsValidLabelValue(v))...)
	}
	return errs
}

// Labels judges the keys and values of labels.
func Labels(at *field.Path, labels map[string]string) field.ErrorList {
	return metavalidation.ValidateLabels(labels, at)
}

// Selector judges a label selector; lax lets label values pass that no label can have.
func Selector(at *field.Path, s *metav1.LabelSelector, lax bool) field.ErrorList {
	opts := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}
	return metavalidation.ValidateLabelSelector(s, opts, at)
}

// LaxSelector tells whether a selector compares with values that no label can have, which older versions let pass.
func LaxSelector(s *metav1.LabelSelector) bool {
	return metavalidation.LabelSelectorHasInvalidLabelValue(s)
}

// EmptySelector tells whether a selector has no requirement.
func EmptySelector(s *metav1.LabelSelector) bool {
	return len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

// NoDuplicates refuses values that occur a second time.
func NoDuplicates[T comparable](at *field.Path, values []T) field.ErrorList {
	var errs field.ErrorList
	seen := map[T]bool{}
	for i, v := range values {
		if seen[v] {
			errs = append(errs, field.Duplicate(at.Index(i), v))
		}
		seen[v] = true
	}
	return errs
}

// MaxBytes refuses texts that are longer than a number of bytes.
func MaxBytes(at *field.Path, value string, limit int) field.ErrorList {
	if len(value) <= limit {
		return nil
	}
	return field.ErrorList{field.TooLong(at, "", limit)}
}

// MaxItems refuses lists that are longer than a number of items.
func MaxItems(at *field.Path, n, limit int) field.ErrorList {
	if n <= limit {
		return nil
	}
	return field.ErrorList{field.TooMany(at, n, limit)}
}

// UserID and GroupID judge numbers of users and groups.
func UserID(at *field.Path, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return Messages(at, *id, utilvalidation.IsValidUserID(*id))
}

// GroupID judges the number of a group.
func GroupID(at *field.Path, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return Messages(at, *id, utilvalidation.IsValidGroupID(*id))
}

// RelativePath refuses absolute paths and such that climb.
func RelativePath(at *field.Path, value string) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(value, "/") {
		errs = append(errs, field.Invalid(at, value, "must be a relative path"))
	}
	return append(errs, NoClimbing(at, value)...)
}

// NoClimbing refuses paths with an element "..".
func NoClimbing(at *field.Path, value string) field.ErrorList {
	if slices.Contains(strings.Split(value, "/"), "..") {
		return field.ErrorList{field.Invalid(at, value, "must not contain '..'")}
	}
	return nil
}

// FileName is RelativePath for files in volumes, where names that begin with ".." are taken by the one who writes them.
func FileName(at *field.Path, value string) field.ErrorList {
	errs := RelativePath(at, value)
	if strings.HasPrefix(value, "..") && !strings.HasPrefix(value, "../") {
		errs = append(errs, field.Invalid(at, value, "must not start with '..'"))
	}
	return errs
}

// NotAbove refuses a count that is above another one, which the error names.
func NotAbove(at *field.Path, n, limit int32, name string) field.ErrorList {
	if n <= limit {
		return nil
	}
	return field.ErrorList{field.Invalid(at, n, "cannot be greater than "+name)}
}

// NotDecremented refuses a counter that goes down; absent counts as zero, and as a step down from anything.
func NotDecremented(at *field.Path, now, before *int32) field.ErrorList {
	if before == nil || now != nil && *now >= *before {
		return nil
	}
	var value int32
	if now != nil {
		value = *now
	}
	return field.ErrorList{field.Invalid(at, value, "cannot be decremented")}
}
