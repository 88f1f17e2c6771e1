package resource

import (
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFreedDevices(t *testing.T) {
	allocation := func(names ...string) *resourcev1.AllocationResult {
		a := &resourcev1.AllocationResult{}
		for _, name := range names {
			a.Devices.Results = append(a.Devices.Results, resourcev1.DeviceRequestAllocationResult{Driver: "d", Pool: "p", Device: name})
		}
		return a
	}
	report := func(name string) resourcev1.AllocatedDeviceStatus {
		return resourcev1.AllocatedDeviceStatus{Driver: "d", Pool: "p", Device: name}
	}
	old := &resourcev1.ResourceClaimStatus{Allocation: allocation("a", "b")}
	s := &resourcev1.ResourceClaimStatus{
		Allocation: allocation("b"), Devices: []resourcev1.AllocatedDeviceStatus{report("a"), report("b"), report("other")},
	}
	dropFreedDevices(s, old)
	if len(s.Devices) != 2 || s.Devices[0].Device != "b" || s.Devices[1].Device != "other" {
		t.Errorf("reports %+v", s.Devices)
	}
	s = &resourcev1.ResourceClaimStatus{Devices: []resourcev1.AllocatedDeviceStatus{report("a")}}
	dropFreedDevices(s, old)
	if s.Devices != nil {
		t.Errorf("reports of freed devices %+v", s.Devices)
	}
}

func TestTaintTimes(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 999, time.UTC)
	earlier := metav1.NewTime(now.Add(-time.Hour).Truncate(time.Second))
	rule := func(effect resourcev1.DeviceTaintEffect, added *metav1.Time) *resourcev1.DeviceTaintRule {
		return &resourcev1.DeviceTaintRule{Spec: resourcev1.DeviceTaintRuleSpec{
			Taint: resourcev1.DeviceTaint{Effect: effect, TimeAdded: added},
		}}
	}
	old := rule(resourcev1.DeviceTaintEffectNoSchedule, &earlier)
	for name, c := range map[string]struct {
		obj, old *resourcev1.DeviceTaintRule
		want     time.Time
	}{
		"a new rule":         {rule(resourcev1.DeviceTaintEffectNoSchedule, nil), nil, now.Truncate(time.Second)},
		"nothing changed":    {rule(resourcev1.DeviceTaintEffectNoSchedule, &earlier), old, earlier.Time},
		"the effect changed": {rule(resourcev1.DeviceTaintEffectNoExecute, &earlier), old, now.Truncate(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			stampTaintRule(c.obj, c.old, now)
			if got := c.obj.Spec.Taint.TimeAdded.Time; !got.Equal(c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
