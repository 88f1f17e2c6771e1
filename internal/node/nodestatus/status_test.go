package nodestatus

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func input() Input {
	return Input{
		Name: "n1", Hostname: "n1", IPs: []string{"192.0.2.1"}, MaxPods: 110, Port: 10250, Now: time.Unix(1000, 0),
		Machine:  Machine{CPUs: 8, Memory: 16 << 30, Disk: 100 << 30, Arch: "amd64"},
		Pressure: Pressure{MemoryAvailable: 8 << 30, DiskAvailable: 50 << 30, DiskSize: 100 << 30},
	}
}

func condition(s v1.NodeStatus, t v1.NodeConditionType) v1.NodeCondition {
	for _, c := range s.Conditions {
		if c.Type == t {
			return c
		}
	}
	return v1.NodeCondition{}
}

func TestCapacity(t *testing.T) {
	in := input()
	in.Capacity = v1.ResourceList{v1.ResourceCPU: resource.MustParse("2")}
	in.Reserved = v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("99Ti")}
	s := Status(in, v1.NodeStatus{})
	for name, want := range map[string][2]string{"cpu": {"2", "1500m"}, "memory": {"16Gi", "0"}, "pods": {"110", "110"}} {
		c, a := s.Capacity[v1.ResourceName(name)], s.Allocatable[v1.ResourceName(name)]
		if c.String() != want[0] || a.String() != want[1] {
			t.Errorf("%s: %s and %s, want %v", name, c.String(), a.String(), want)
		}
	}
}

func TestConditions(t *testing.T) {
	foreign := v1.NodeCondition{Type: v1.NodeNetworkUnavailable, Status: v1.ConditionFalse, Reason: "RouteCreated"}
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   map[v1.NodeConditionType]v1.ConditionStatus
	}{
		{"well", func(*Input) {}, map[v1.NodeConditionType]v1.ConditionStatus{v1.NodeReady: "True", v1.NodeDiskPressure: "False"}},
		{"no network", func(in *Input) { in.NotReady = "no" }, map[v1.NodeConditionType]v1.ConditionStatus{v1.NodeReady: "False"}},
		{
			"full disk", func(in *Input) { in.Pressure.DiskAvailable = 1 << 30 },
			map[v1.NodeConditionType]v1.ConditionStatus{v1.NodeDiskPressure: "True", v1.NodeReady: "True"},
		},
		{
			"a large disk, nearly full", func(in *Input) { in.Pressure.DiskSize, in.Pressure.DiskAvailable = 1<<40, 50<<30 },
			map[v1.NodeConditionType]v1.ConditionStatus{v1.NodeDiskPressure: "False"},
		},
		{
			"little memory", func(in *Input) { in.Pressure.MemoryAvailable = 1 << 20 },
			map[v1.NodeConditionType]v1.ConditionStatus{v1.NodeMemoryPressure: "True"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input()
			c.change(&in)
			s := Status(in, v1.NodeStatus{Conditions: []v1.NodeCondition{foreign}})
			for kind, want := range c.want {
				if got := condition(s, kind); got.Status != want {
					t.Errorf("%s is %s", kind, got.Status)
				}
			}
			if condition(s, v1.NodeNetworkUnavailable).Reason != "RouteCreated" {
				t.Error("somebody else's condition is lost")
			}
		})
	}
}

func TestChangedIgnoresHeartbeats(t *testing.T) {
	in := input()
	first := Status(in, v1.NodeStatus{})
	in.Now = in.Now.Add(time.Minute)
	second := Status(in, first)
	if Changed(first, second) {
		t.Error("a heartbeat counts as a change")
	}
	if got := condition(second, v1.NodeReady); !got.LastTransitionTime.Equal(&metav1.Time{Time: time.Unix(1000, 0)}) {
		t.Errorf("transition at %v", got.LastTransitionTime)
	}
	in.NotReady = "no"
	if !Changed(second, Status(in, second)) {
		t.Error("a change of Ready does not count")
	}
}
