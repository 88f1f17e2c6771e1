package resource

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"coracle.dev/coracle/internal/api/meta"
)

func dropAlphaSlice(s, old *resourcev1.ResourceSliceSpec) {
	meta.DropAlpha(s, old, compatibilitySlots, nodeResourceSlots, listAttributeSlots,
		func(s *resourcev1.ResourceSliceSpec) []meta.Slot {
			return []meta.Slot{meta.PointerSlot(&s.PartitionTypeAttribute)}
		},
		func(s *resourcev1.ResourceSliceSpec) []meta.Slot {
			return []meta.Slot{meta.ListSlot(&s.SkipNodeOperations)}
		})
}

func compatibilitySlots(s *resourcev1.ResourceSliceSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Devices {
		for k := range s.Devices[i].ConsumesCounters {
			out = append(out, meta.ListSlot(&s.Devices[i].ConsumesCounters[k].CompatibilityGroups))
		}
	}
	return out
}

// nodeResourceSlot is a device's share of the node's own resources.
type nodeResourceSlot struct {
	at *map[corev1.ResourceName]resourcev1.NodeAllocatableResource
}

func (s nodeResourceSlot) Used() bool { return len(*s.at) > 0 }
func (s nodeResourceSlot) Clear()     { *s.at = nil }

func nodeResourceSlots(s *resourcev1.ResourceSliceSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Devices {
		out = append(out, nodeResourceSlot{&s.Devices[i].NodeAllocatableResources})
	}
	return out
}

// listAttributeSlot is an attribute in its map, which must be put back when it changes.
type listAttributeSlot struct {
	attributes map[resourcev1.QualifiedName]resourcev1.DeviceAttribute
	name       resourcev1.QualifiedName
}

func (s listAttributeSlot) Used() bool {
	a := s.attributes[s.name]
	return a.BoolValues != nil || a.IntValues != nil || a.StringValues != nil || a.VersionValues != nil
}

func (s listAttributeSlot) Clear() {
	a := s.attributes[s.name]
	a.BoolValues, a.IntValues, a.StringValues, a.VersionValues = nil, nil, nil, nil
	s.attributes[s.name] = a
}

func listAttributeSlots(s *resourcev1.ResourceSliceSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Devices {
		for name := range s.Devices[i].Attributes {
			out = append(out, listAttributeSlot{s.Devices[i].Attributes, name})
		}
	}
	return out
}

func derivedAttributeSlots(s *resourcev1.ResourceClaimSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if r.Exactly != nil {
			out = append(out, meta.ListSlot(&r.Exactly.DerivedAttributes))
		}
		for k := range r.FirstAvailable {
			out = append(out, meta.ListSlot(&r.FirstAvailable[k].DerivedAttributes))
		}
	}
	return out
}

func skippedOperationSlots(s *resourcev1.ResourceClaimStatus) []meta.Slot {
	var out []meta.Slot
	if s.Allocation == nil {
		return nil
	}
	for i := range s.Allocation.Devices.Results {
		out = append(out, meta.ListSlot(&s.Allocation.Devices.Results[i].SkipNodeOperations))
	}
	return out
}
