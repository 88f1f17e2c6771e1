package cgroups

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, mountinfo string
		want            []Hierarchy
		fails           bool
	}{
		{
			name: "version 2",
			mountinfo: "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n" +
				"31 23 0:27 / /proc rw - proc proc rw\n",
			want: []Hierarchy{{"/sys/fs/cgroup", ""}},
		},
		{
			name: "version 1 and both",
			mountinfo: "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
				"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" +
				"33 31 0:30 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,release_agent=/x/y,name=systemd\n" +
				"34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			want: []Hierarchy{
				{"/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"},
				{"/sys/fs/cgroup/systemd", "none,name=systemd"},
				{"/sys/fs/cgroup/unified", ""},
			},
		},
		{
			name: "mounted twice, with a space",
			mountinfo: "32 31 0:29 / /a\\040b rw - cgroup cgroup rw,memory\n" +
				"33 31 0:29 / /elsewhere rw - cgroup cgroup rw,memory\n",
			want: []Hierarchy{{"/a b", "memory"}},
		},
		{name: "nothing", mountinfo: ""},
		{name: "no separator", mountinfo: "32 31 0:29 / /a rw cgroup cgroup rw\n", fails: true},
		{name: "cut short", mountinfo: "32 31 0:29 / /a rw - cgroup\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(tt.mountinfo))
			if (err != nil) != tt.fails || !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse(strings.NewReader(text))
		if err == nil && len(list) > strings.Count(text, "\n")+1 {
			t.Fatalf("%d hierarchies in %q", len(list), text)
		}
	})
}

// TestCreateAndRemove puts a process and a child of it into a subtree of every hierarchy of this machine.
func TestCreateAndRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	hierarchies, err := Machine()
	if err != nil {
		t.Skip(err)
	}
	name := "coracle/cgroups-test-" + strconv.Itoa(os.Getpid())
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := Create(hierarchies, name+"/node", cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for _, h := range hierarchies {
		below := filepath.Join(h.Mountpoint, name, "node", "pods")
		if err := os.Mkdir(below, 0o755); err != nil {
			t.Error(err)
		}
		procs, err := os.ReadFile(filepath.Join(h.Mountpoint, name, "node", "cgroup.procs"))
		if err != nil || strings.TrimSpace(string(procs)) != strconv.Itoa(cmd.Process.Pid) {
			t.Errorf("%s holds %q (%v)", h.Mountpoint, procs, err)
		}
	}
	if err := Remove(t.Context(), hierarchies, name); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the process was not killed")
	}
	for _, h := range hierarchies {
		if _, err := os.Stat(filepath.Join(h.Mountpoint, name)); !os.IsNotExist(err) {
			t.Errorf("%s was left: %v", h.Mountpoint, err)
		}
	}
	if err := Remove(t.Context(), hierarchies, name); err != nil {
		t.Errorf("removing again: %v", err)
	}
}
