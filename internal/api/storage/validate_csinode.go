package storage

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of what a node tells about its drivers; texts in bytes.
const (
	maxNodeIDBytes      = 256
	maxHealthConditions = 16
	maxHealthReason     = 256
	maxHealthMessage    = 1024
)

func validateCSINode(n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range n.Spec.Drivers {
		d, at := &n.Spec.Drivers[i], field.NewPath("spec", "drivers").Index(i)
		errs = append(errs, core.ValidateCSIDriverName(at.Child("name"), d.Name)...)
		errs = append(errs, rule.Given(at.Child("nodeID"), d.NodeID)...)
		if len(d.NodeID) > maxNodeIDBytes {
			errs = append(errs, field.Invalid(at.Child("nodeID"), d.NodeID,
				fmt.Sprintf("must be %d characters or less", maxNodeIDBytes)))
		}
		if d.Allocatable != nil {
			errs = append(errs, rule.MaybeNonNegative(at.Child("allocatable", "count"), d.Allocatable.Count)...)
		}
		if names.Has(d.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), d.Name))
		}
		names.Insert(d.Name)
		errs = append(errs, validateTopologyKeys(at, d.TopologyKeys)...)
	}
	return errs
}

// validateTopologyKeys reports at the driver itself.
func validateTopologyKeys(at *field.Path, keys []string) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for _, key := range keys {
		errs = append(errs, rule.Given(at, key)...)
		if seen.Has(key) {
			errs = append(errs, field.Duplicate(at, key))
		}
		seen.Insert(key)
		errs = append(errs, rule.QualifiedName(at, key)...)
	}
	return errs
}

// validateCSINodeUpdate lets drivers come and go; of one that stays, only how many volumes it can attach may change.
func validateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	errs := validateCSINode(n)
	for _, before := range old.Spec.Drivers {
		for _, now := range n.Spec.Drivers {
			if now.Name == before.Name {
				now.Allocatable, before.Allocatable = nil, nil
				errs = append(errs, rule.Unchanged(field.NewPath("spec", "drivers"), now, before)...)
			}
		}
	}
	return errs
}

func validateCSINodeStatus(n, _ *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range n.Status.StorageHealth {
		h, at := &n.Status.StorageHealth[i], field.NewPath("status", "storageHealth").Index(i)
		if seen.Has(h.Name) {
			errs = append(errs, field.Duplicate(at, h.Name))
		}
		seen.Insert(h.Name)
		errs = append(errs, core.ValidateCSIDriverName(at.Child("name"), h.Name)...)
		at = at.Child("healthConditions")
		if len(h.HealthConditions) > maxHealthConditions {
			errs = append(errs, field.TooMany(at, len(h.HealthConditions), maxHealthConditions))
			continue
		}
		for k := range h.HealthConditions {
			errs = append(errs, validateHealth(at.Index(k), &h.HealthConditions[k])...)
		}
	}
	return errs
}

func validateHealth(at *field.Path, c *storagev1.StorageHealthCondition) field.ErrorList {
	errs := rule.OneOf(at.Child("status"), c.Status, storagev1.StorageDegraded, storagev1.StorageUnreachable)
	if c.Reason == "" {
		errs = append(errs, field.Required(at.Child("reason"), ""))
	} else {
		errs = append(errs, rule.Messages(at.Child("reason"), c.Reason, validation.IsValidConditionReason(c.Reason))...)
		errs = append(errs, rule.MaxBytes(at.Child("reason"), c.Reason, maxHealthReason)...)
	}
	errs = append(errs, rule.MaxBytes(at.Child("message"), c.Message, maxHealthMessage)...)
	errs = append(errs, rule.MaybeOneOf(at.Child("accessMode"), c.AccessMode,
		corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)...)
	return append(errs, rule.MaybeOneOf(at.Child("volumeMode"), c.VolumeMode,
		corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock)...)
}
