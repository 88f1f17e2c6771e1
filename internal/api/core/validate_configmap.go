package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// maxDataBytes is how much a config map or secret can hold.
const maxDataBytes = 1 << 20

// whileImmutable is why data cannot change.
const whileImmutable = "field is immutable when `immutable` is set"

// validateKeys judges the keys of data, and adds up the size of the values.
func validateKeys[V ~string | ~[]byte](at *field.Path, data map[string]V) (errs field.ErrorList, size int) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		errs = append(errs, rule.Messages(at.Key(key), key, utilvalidation.IsConfigMapKey(key))...)
		size += len(data[key])
	}
	return errs, size
}

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	errs, size := validateKeys(field.NewPath("data"), c.Data)
	binary, more := validateKeys(field.NewPath("binaryData"), c.BinaryData)
	errs = append(errs, binary...)
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		if _, ok := c.BinaryData[key]; ok {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), key, "duplicate of key present in binaryData"))
		}
	}
	if size+more > maxDataBytes {
		errs = append(errs, field.TooLong(field.NewPath(""), "", maxDataBytes))
	}
	return errs
}

func validateConfigMapUpdate(c, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	if meta.Deref(old.Immutable) {
		errs = slices.Concat(
			validateStaysImmutable(c.Immutable),
			refuseChange(field.NewPath("data"), c.Data, old.Data),
			refuseChange(field.NewPath("binaryData"), c.BinaryData, old.BinaryData))
	}
	return append(errs, validateConfigMap(c)...)
}

func validateStaysImmutable(now *bool) field.ErrorList {
	if meta.Deref(now) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("immutable"), whileImmutable)}
}

func refuseChange(at *field.Path, now, before any) field.ErrorList {
	if equality.Semantic.DeepEqual(now, before) {
		return nil
	}
	return field.ErrorList{field.Forbidden(at, whileImmutable)}
}
