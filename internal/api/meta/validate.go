package meta

import (
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
)

// NameRule judges a name, or with prefix set the prefix of a generated one, and says what is wrong with it.
type NameRule func(name string, prefix bool) []string

// DNSSubdomain is the rule of most kinds: a DNS-1123 subdomain of at most 253 characters.
func DNSSubdomain(name string, prefix bool) []string {
	return validation.NameIsDNSSubdomain(name, prefix)
}

// DNSLabel is the rule of namespaces and stateful sets' pods: a DNS-1123 label of at most 63 characters.
func DNSLabel(name string, prefix bool) []string { return validation.NameIsDNSLabel(name, prefix) }

// DNS1035Label is a DNS label that does not begin with a digit.
func DNS1035Label(name string, prefix bool) []string {
	return validation.NameIsDNS1035Label(name, prefix)
}

// PathSegment allows anything that can stand in a URL path; RBAC's kinds use it.
func PathSegment(name string, prefix bool) []string { return AnyName(name, prefix) }

// AnyName leaves the judgement to the kind's own Validate, besides what a URL path can hold.
func AnyName(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}

// ValidateObjectMeta judges the metadata of an object about to be created: name, namespace, labels, annotations and their
// size, owner references, the form of finalizers, managed fields.
func ValidateObjectMeta(obj api.Object, namespaced bool, name NameRule) field.ErrorList {
	at := field.NewPath("metadata")
	return validation.ValidateObjectMetaAccessor(obj, namespaced, validation.ValidateNameFunc(name), at)
}

// ValidateObjectMetaUpdate judges the metadata of an update: what ValidateObjectMeta does, with a laxer rule for the name, which
// cannot change any more, and the fields that may not change.
func ValidateObjectMetaUpdate(obj, old api.Object, namespaced bool) field.ErrorList {
	at := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessor(obj, namespaced, validation.ValidateNameFunc(AnyName), at)
	return append(errs, validation.ValidateObjectMetaAccessorUpdate(obj, old, at)...)
}
