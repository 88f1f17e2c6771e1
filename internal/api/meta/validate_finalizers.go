package meta

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
)

// ValidateFinalizers judges metadata.finalizers beyond their form: names without a domain are Kubernetes' own.
func ValidateFinalizers(obj api.Object) field.ErrorList {
	var errs field.ErrorList
	for i, f := range obj.GetFinalizers() {
		errs = append(errs, ValidateFinalizer(field.NewPath("metadata", "finalizers").Index(i), f)...)
	}
	return errs
}

// ValidateFinalizer does so for one finalizer.
func ValidateFinalizer(at *field.Path, f string) field.ErrorList {
	switch {
	case strings.Contains(f, "/"), f == "kubernetes",
		f == metav1.FinalizerOrphanDependents, f == metav1.FinalizerDeleteDependents:
		return nil
	}
	return field.ErrorList{field.Invalid(at, f, "name is neither a standard finalizer name nor is it fully qualified")}
}
