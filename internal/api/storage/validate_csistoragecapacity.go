package storage

import (
	"fmt"
	"maps"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

func validateCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	return validateCapacityParts(c, false)
}

func validateCapacityParts(c *storagev1.CSIStorageCapacity, laxSelector bool) field.ErrorList {
	errs := rule.Selector(field.NewPath("nodeTopology"), c.NodeTopology, laxSelector)
	errs = append(errs, rule.DNSSubdomain(field.NewPath("storageClassName"), c.StorageClassName)...)
	if c.Capacity != nil {
		errs = append(errs, rule.NonNegativeQuantity(field.NewPath("capacity"), *c.Capacity)...)
	}
	return errs
}

func validateCapacityUpdate(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := validateCapacityParts(c, rule.LaxSelector(old.NodeTopology))
	errs = append(errs, rule.Unchanged(field.NewPath("nodeTopology"), c.NodeTopology, old.NodeTopology)...)
	return append(errs, rule.Unchanged(field.NewPath("storageClassName"), c.StorageClassName, old.StorageClassName)...)
}

func warnCapacity(c, _ *storagev1.CSIStorageCapacity) []string {
	if c.NodeTopology == nil {
		return nil
	}
	var out []string
	for i, r := range c.NodeTopology.MatchExpressions {
		if why := core.DeprecatedNodeLabel(r.Key); why != "" {
			out = append(out, fmt.Sprintf("nodeTopology.matchExpressions[%d].key: %s is %s", i, r.Key, why))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.NodeTopology.MatchLabels)) {
		if why := core.DeprecatedNodeLabel(key); why != "" {
			out = append(out, fmt.Sprintf("nodeTopology.matchLabels.%s: %s", key, why))
		}
	}
	return out
}
