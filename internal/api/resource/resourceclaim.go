package resource

import (
	"slices"
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func resourceClaim() *api.Resource {
	return meta.Entry[*resourcev1.ResourceClaim]{
		Group:   resourcev1.GroupName,
		Version: "v1", Kind: "ResourceClaim", Plural: "resourceclaims",
		Namespaced: true,
		New:        meta.New[resourcev1.ResourceClaim],
		NewList:    meta.Empty[resourcev1.ResourceClaimList],
		Path:       "resourceclaims",
		Subresources: []api.Subresource{
			meta.Status(resourcev1.SchemeGroupVersion.WithKind("ResourceClaim"), meta.Empty[resourcev1.ResourceClaim],
				"metadata", "spec"),
		},
		Default: func(c *resourcev1.ResourceClaim) {
			defaultClaimSpec(&c.Spec)
			if a := c.Status.Allocation; a != nil {
				for i := range a.Devices.Results {
					defaultTolerations(a.Devices.Results[i].Tolerations)
				}
			}
		},
		PrepareCreate: func(c *resourcev1.ResourceClaim) {
			c.Status = resourcev1.ResourceClaimStatus{}
			meta.DropAlpha(&c.Spec, nil, derivedAttributeSlots)
		},
		PrepareUpdate: func(c, old *resourcev1.ResourceClaim) {
			c.Status = old.Status
			meta.DropAlpha(&c.Spec, &old.Spec, derivedAttributeSlots)
		},
		PrepareStatus: func(c, old *resourcev1.ResourceClaim) {
			c.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
			meta.DropAlpha(&c.Status, &old.Status, skippedOperationSlots)
			dropFreedDevices(&c.Status, &old.Status)
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("State", "Whether the claim is pending, allocated, reserved or deleted."),
			meta.AgeColumn(),
		},
		Row: func(c *resourcev1.ResourceClaim, now time.Time) []any {
			return []any{c.Name, claimState(c), meta.Age(c, now)}
		},
		Validate:       validateClaim,
		ValidateUpdate: validateClaimUpdate,
		ValidateStatus: validateClaimStatus,
	}.Resource()
}

func defaultClaimSpec(s *resourcev1.ResourceClaimSpec) {
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if r.Exactly != nil {
			defaultCount(&r.Exactly.AllocationMode, &r.Exactly.Count)
			defaultTolerations(r.Exactly.Tolerations)
		}
		for k := range r.FirstAvailable {
			defaultCount(&r.FirstAvailable[k].AllocationMode, &r.FirstAvailable[k].Count)
			defaultTolerations(r.FirstAvailable[k].Tolerations)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	if *mode == "" {
		*mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *mode == resourcev1.DeviceAllocationModeExactCount && *count == 0 {
		*count = 1
	}
}

func defaultTolerations(list []resourcev1.DeviceToleration) {
	for i := range list {
		if list[i].Operator == "" {
			list[i].Operator = resourcev1.DeviceTolerationOpEqual
		}
	}
}

// device names one device, or one share of it.
type device struct{ driver, pool, name, share string }

// dropFreedDevices removes the reports of devices that were allocated before and are not any more.
func dropFreedDevices(s, old *resourcev1.ResourceClaimStatus) {
	freed := map[device]bool{}
	if old.Allocation != nil {
		for _, r := range old.Allocation.Devices.Results {
			freed[device{r.Driver, r.Pool, r.Device, string(meta.Deref(r.ShareID))}] = true
		}
	}
	if s.Allocation != nil {
		for _, r := range s.Allocation.Devices.Results {
			delete(freed, device{r.Driver, r.Pool, r.Device, string(meta.Deref(r.ShareID))})
		}
	}
	s.Devices = slices.DeleteFunc(s.Devices, func(d resourcev1.AllocatedDeviceStatus) bool {
		return freed[device{d.Driver, d.Pool, d.Device, meta.Deref(d.ShareID)}]
	})
	if len(s.Devices) == 0 {
		s.Devices = nil
	}
}

func claimState(c *resourcev1.ResourceClaim) string {
	var states []string
	if c.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	switch {
	case c.Status.Allocation != nil:
		states = append(states, "allocated")
		if len(c.Status.ReservedFor) > 0 {
			states = append(states, "reserved")
		}
	case c.DeletionTimestamp == nil:
		states = append(states, "pending")
	}
	return strings.Join(states, ",")
}
