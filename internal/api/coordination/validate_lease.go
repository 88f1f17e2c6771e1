package coordination

import (
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateLeaseUpdate(l, _ *coordinationv1.Lease) field.ErrorList { return validateLease(l) }

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	at, spec := field.NewPath("spec"), &l.Spec
	var errs field.ErrorList
	if n := spec.LeaseDurationSeconds; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(at.Child("leaseDurationSeconds"), *n, "must be greater than 0"))
	}
	if n := spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(at.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	chosen := spec.Strategy != nil && *spec.Strategy != ""
	if spec.Strategy != nil {
		errs = append(errs, validateStrategy(at.Child("strategy"), *spec.Strategy)...)
	}
	if holder := spec.PreferredHolder; holder != nil && *holder != "" && !chosen {
		errs = append(errs, field.Forbidden(at.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
	}
	return errs
}

// validateStrategy accepts the strategy that Kubernetes defines, and any other under a prefix. The path has the name twice, as
// clients know it.
func validateStrategy(at *field.Path, s coordinationv1.CoordinatedLeaseStrategy) field.ErrorList {
	at = at.Child("strategy")
	if strings.Contains(string(s), "/") {
		return rule.QualifiedName(at, string(s))
	}
	return rule.OneOf(at, s, coordinationv1.OldestEmulationVersion)
}
