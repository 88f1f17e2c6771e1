package storage

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of the parameters of a class, in number and in bytes.
const (
	maxParameters     = 512
	maxParameterBytes = 256 << 10
)

func validateStorageClass(c *storagev1.StorageClass) field.ErrorList {
	errs := validateDriver(field.NewPath("provisioner"), c.Provisioner)
	errs = append(errs, validateParameters(field.NewPath("parameters"), c.Parameters)...)
	if c.ReclaimPolicy != nil && *c.ReclaimPolicy != "" {
		errs = append(errs, rule.OneOf(field.NewPath("reclaimPolicy"), *c.ReclaimPolicy,
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	if c.VolumeBindingMode == nil {
		errs = append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	}
	errs = append(errs, rule.MaybeOneOf(field.NewPath("volumeBindingMode"), c.VolumeBindingMode,
		storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
	return append(errs, validateTopologies(field.NewPath("allowedTopologies"), c.AllowedTopologies)...)
}

func validateStorageClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	errs := validateStorageClass(c)
	errs = append(errs, rule.Fixed(field.NewPath("parameters"), c.Parameters, old.Parameters)...)
	errs = append(errs, rule.Fixed(field.NewPath("provisioner"), c.Provisioner, old.Provisioner)...)
	errs = append(errs, rule.Fixed(field.NewPath("reclaimPolicy"), c.ReclaimPolicy, old.ReclaimPolicy)...)
	return append(errs, rule.Fixed(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, old.VolumeBindingMode)...)
}

// validateDriver judges the name of who makes the volumes, which is not always a CSI driver.
func validateDriver(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return rule.Given(at, name)
	}
	return rule.QualifiedName(at, strings.ToLower(name))
}

func validateParameters(at *field.Path, parameters map[string]string) field.ErrorList {
	if len(parameters) > maxParameters {
		return field.ErrorList{field.TooLong(at, "", maxParameters)}
	}
	var errs field.ErrorList
	if _, ok := parameters[""]; ok {
		errs = append(errs, field.Invalid(at, "", "field can not be empty."))
	}
	if mapBytes(parameters) > maxParameterBytes {
		errs = append(errs, field.TooLong(at, "", maxParameterBytes))
	}
	return errs
}

func mapBytes(m map[string]string) int {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
	}
	return size
}

// validateTopologies refuses terms that say the same as an earlier one, and such that say nothing.
func validateTopologies(at *field.Path, terms []corev1.TopologySelectorTerm) field.ErrorList {
	var errs field.ErrorList
	var seen []map[string]sets.Set[string]
	for i := range terms {
		at := at.Index(i)
		errs = append(errs, core.ValidateTopologyTerm(at, &terms[i])...)
		meaning := map[string]sets.Set[string]{}
		for _, r := range terms[i].MatchLabelExpressions {
			meaning[r.Key] = sets.New(r.Values...)
		}
		same := func(other map[string]sets.Set[string]) bool {
			return maps.EqualFunc(meaning, other, sets.Set[string].Equal)
		}
		if len(meaning) == 0 || slices.ContainsFunc(seen, same) {
			errs = append(errs, field.Duplicate(at.Child("matchLabelExpressions"), ""))
		}
		seen = append(seen, meaning)
	}
	return errs
}

func warnStorageClass(c, _ *storagev1.StorageClass) []string {
	var out []string
	for i, t := range c.AllowedTopologies {
		for k, r := range t.MatchLabelExpressions {
			if why := core.DeprecatedNodeLabel(r.Key); why != "" {
				out = append(out, fmt.Sprintf("allowedTopologies[%d].matchLabelExpressions[%d].key: %s", i, k, why))
			}
		}
	}
	return out
}
