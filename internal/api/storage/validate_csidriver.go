package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// minUpdatePeriod is how often, in seconds, nodes may at most ask a driver how many volumes it can attach.
const minUpdatePeriod = 10

// attachRequiredField is the name under which clients know errors of attachRequired.
const attachRequiredField = "attachedRequired"

func validateCSIDriver(d *storagev1.CSIDriver) field.ErrorList {
	at, s := field.NewPath("spec"), &d.Spec
	var errs field.ErrorList
	given := func(name string, flag *bool) {
		if flag == nil {
			errs = append(errs, field.Required(at.Child(name), ""))
		}
	}
	given(attachRequiredField, s.AttachRequired)
	given("podInfoOnMount", s.PodInfoOnMount)
	given("storageCapacity", s.StorageCapacity)
	errs = append(errs, rule.MaybeOneOf(at.Child("fsGroupPolicy"), s.FSGroupPolicy,
		storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)...)
	errs = append(errs, validateTokenRequests(at.Child("tokenRequests"), s.TokenRequests)...)
	for _, m := range s.VolumeLifecycleModes {
		errs = append(errs, rule.OneOf(at.Child("volumeLifecycleModes"), m,
			storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral)...)
	}
	given("seLinuxMount", s.SELinuxMount)
	if p := s.NodeAllocatableUpdatePeriodSeconds; p != nil && *p < minUpdatePeriod {
		errs = append(errs, field.Invalid(at.Child("nodeAllocatableUpdatePeriodSeconds"), *p,
			"must be greater than or equal to 10 seconds"))
	}
	if s.ServiceAccountTokenInSecrets != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(at.Child("serviceAccountTokenInSecrets"), *s.ServiceAccountTokenInSecrets,
			"serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	given("preventPodSchedulingIfMissing", s.PreventPodSchedulingIfMissing)
	return errs
}

func validateCSIDriverUpdate(d, old *storagev1.CSIDriver) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateCSIDriver(d)
	errs = append(errs, rule.Unchanged(at.Child(attachRequiredField), d.Spec.AttachRequired, old.Spec.AttachRequired)...)
	return append(errs, rule.Unchanged(at.Child("volumeLifecycleModes"),
		d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes)...)
}

func validateTokenRequests(at *field.Path, list []storagev1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, r := range list {
		at := at.Index(i)
		if seen.Has(r.Audience) {
			errs = append(errs, field.Duplicate(at.Child("audience"), r.Audience))
			continue
		}
		seen.Insert(r.Audience)
		errs = append(errs, core.ValidateTokenLifetime(at.Child("expirationSeconds"), r.ExpirationSeconds)...)
	}
	return errs
}

func warnCSIDriver(d, old *storagev1.CSIDriver) []string {
	if len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil ||
		old != nil && equality.Semantic.DeepEqual(d.Spec.TokenRequests, old.Spec.TokenRequests) {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent " +
		"possible logging of tokens in volume attributes"}
}
