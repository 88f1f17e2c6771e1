package cgroup

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func podOf(t *testing.T, spec string) *v1.Pod {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "u1"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name, spec, parent string
		limits             Limits
	}{
		{"best effort", `{containers: [{name: a}]}`, "/kubepods/besteffort/podu1", Limits{CPUShares: 2}},
		{
			"burstable without limits", `{containers: [{name: a, resources: {requests: {cpu: 500m}}}]}`,
			"/kubepods/burstable/podu1",
			Limits{CPUShares: 512},
		},
		{
			"guaranteed", `{containers: [{name: a, resources: {limits: {cpu: "2", memory: 1Ki}, requests: {cpu: "2", memory: 1Ki}}}]}`,
			"/kubepods/podu1",
			Limits{CPUShares: 2048, CPUQuota: 200_000, Memory: 1024},
		},
		{
			"one container without a limit", `{containers: [{name: a, resources: {limits: {cpu: "1"}, requests: {cpu: "1"}}}, {name: b}]}`,
			"/kubepods/burstable/podu1",
			Limits{CPUShares: 1024},
		},
		{
			"init containers are a peak",
			`{initContainers: [{name: i, resources: {requests: {cpu: "3"}}}], containers: [{name: a, resources: {requests: {cpu: "1"}}}]}`,
			"/kubepods/burstable/podu1",
			Limits{CPUShares: 3072},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := podOf(t, c.spec)
			if got := Parent(p); got != c.parent {
				t.Errorf("parent %s", got)
			}
			if got := PodLimits(p); got != c.limits {
				t.Errorf("limits %+v", got)
			}
		})
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[int64]int64{2: 1, 1024: 39, 262144: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}

// A folder with the right files stands in for the kernel's hierarchies.
func TestTreeV1(t *testing.T) {
	mount := t.TempDir()
	for _, c := range controllers() {
		if c == "blkio" {
			continue // a machine without it
		}
		dir := filepath.Join(mount, c)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mount, c, "cgroup.procs"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	tree := Open(mount, "/node1", slog.New(slog.NewTextHandler(&log, nil)))
	if err := tree.Setup(); err != nil {
		t.Fatal(err)
	}
	p := podOf(t, `{containers: [{name: a, resources: {limits: {cpu: "1", memory: 1Mi}}}]}`)
	p.Spec.Containers[0].Resources.Requests = p.Spec.Containers[0].Resources.Limits
	parent, err := tree.MakePod(p)
	if err != nil || parent != "/node1/kubepods/podu1" {
		t.Fatalf("got %s, %v", parent, err)
	}
	for file, want := range map[string]string{
		"cpu/cpu.shares": "1024", "cpu/cpu.cfs_quota_us": "100000", "memory/memory.limit_in_bytes": "1048576",
	} {
		controller, name, _ := strings.Cut(file, "/")
		got, err := os.ReadFile(filepath.Join(mount, controller, parent, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
		// The stand-in's files would keep the folder; the kernel's don't.
		if err := os.Remove(filepath.Join(mount, controller, parent, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := tree.Pods(); !slices.Equal(got, []string{"u1"}) {
		t.Errorf("pods %q", got)
	}
	if n := strings.Count(log.String(), "blkio"); n != 1 {
		t.Errorf("the missing controller was mentioned %d times", n)
	}
	_ = os.Remove(filepath.Join(mount, "cpu", parent, "cpu.cfs_quota_us"))
	if err := tree.RemovePod("u1"); err != nil {
		t.Error(err)
	}
	if got := tree.Pods(); len(got) > 0 {
		t.Errorf("pods %q remain", got)
	}
}
