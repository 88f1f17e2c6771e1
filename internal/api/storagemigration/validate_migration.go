package storagemigration

import (
	"strings"

	storagemigrationv1 "k8s.io/api/storagemigration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateMigration(m *storagemigrationv1.StorageVersionMigration) field.ErrorList {
	at, r := field.NewPath("spec", "resource"), m.Spec.Resource
	var errs field.ErrorList
	if r.Resource == "" {
		errs = append(errs, field.Required(at.Child("resource"), "resource is required to be set"))
	} else if bad := utilvalidation.IsDNS1035Label(r.Resource); len(bad) > 0 {
		errs = append(errs, field.Invalid(at.Child("resource"), r.Resource, strings.Join(bad, ",")))
	}
	if bad := utilvalidation.IsDNS1123Subdomain(r.Group); r.Group != "" && len(bad) > 0 {
		errs = append(errs, field.Invalid(at.Child("group"), r.Group, strings.Join(bad, ",")))
	}
	return errs
}

func validateMigrationUpdate(m, old *storagemigrationv1.StorageVersionMigration) field.ErrorList {
	return append(validateMigration(m), rule.Unchanged(field.NewPath("spec"), m.Spec, old.Spec)...)
}

// validateMigrationStatus: a migration ends once, and the version up to which it goes is chosen once.
func validateMigrationStatus(m, old *storagemigrationv1.StorageVersionMigration) field.ErrorList {
	at := field.NewPath("status")
	version, before := m.Status.ResourceVersion, old.Status.ResourceVersion
	var errs field.ErrorList
	if version != "" {
		if _, err := resourceversion.CompareResourceVersion(version, version); err != nil {
			errs = append(errs, field.Invalid(at.Child("resourceVersion"), version, err.Error()))
		}
	}
	at = at.Child("conditions")
	errs = append(errs, metavalidation.ValidateConditions(m.Status.Conditions, at)...)
	if before != "" && version != before {
		errs = append(errs, field.Invalid(field.NewPath("status", "resourceVersion"), version, rule.Immutable))
	}
	is := func(m *storagemigrationv1.StorageVersionMigration, t storagemigrationv1.MigrationConditionType) bool {
		return apimeta.IsStatusConditionTrue(m.Status.Conditions, string(t))
	}
	refuse := func(is bool, why string) {
		if is {
			errs = append(errs, field.Invalid(at, m.Status.Conditions, why))
		}
	}
	succeeded, failed := is(m, storagemigrationv1.MigrationSucceeded), is(m, storagemigrationv1.MigrationFailed)
	refuse(succeeded && failed, "Both success and failed conditions cannot be true at the same time")
	refuse(is(old, storagemigrationv1.MigrationSucceeded) && !succeeded,
		"Success condition cannot be set to false once it is true")
	refuse(is(old, storagemigrationv1.MigrationFailed) && !failed, "Failed condition cannot be set to false once it is true")
	return errs
}
