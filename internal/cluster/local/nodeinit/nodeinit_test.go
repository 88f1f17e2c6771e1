package nodeinit

import (
	"slices"
	"testing"
	"time"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
)

func TestPolicy(t *testing.T) {
	tests := []struct {
		name string
		runs []time.Duration
		want []time.Duration
	}{
		{"one crash", []time.Duration{time.Hour}, []time.Duration{firstDelay}},
		{"crashes in a row", []time.Duration{0, 0, 0}, []time.Duration{firstDelay, 2 * firstDelay, 4 * firstDelay}},
		{
			"a steady run between",
			[]time.Duration{0, 0, steadyAfter, 0},
			[]time.Duration{firstDelay, 2 * firstDelay, firstDelay, 2 * firstDelay},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p policy
			var got []time.Duration
			for _, run := range tt.runs {
				got = append(got, p.next(run))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("never longer than the most", func(t *testing.T) {
		var p policy
		for range 100 {
			if got := p.next(0); got > maxDelay {
				t.Fatalf("got %s", got)
			}
		}
	})
}

func TestCgroupMounts(t *testing.T) {
	tests := []struct {
		name        string
		hierarchies []cgroups.Hierarchy
		want        []string
	}{
		{"version 2", []cgroups.Hierarchy{{Mountpoint: "/sys/fs/cgroup"}}, []string{"cgroup2 /sys/fs/cgroup "}},
		{
			"both",
			[]cgroups.Hierarchy{
				{Mountpoint: "/sys/fs/cgroup/memory", Options: "memory"}, {Mountpoint: "/sys/fs/cgroup/unified"},
			},
			[]string{"tmpfs /sys/fs/cgroup mode=755", "cgroup /sys/fs/cgroup/memory memory", "cgroup2 /sys/fs/cgroup/unified "},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, m := range cgroupMounts(tt.hierarchies) {
				got = append(got, m.kind+" "+m.target+" "+m.data)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
