package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// process is how coracle writes down a process.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// kill kills a process that must still be the one that it was when it was written down, and waits for its end.
func kill(t *testing.T, p process) {
	t.Helper()
	end(t, p, unix.SIGKILL)
}

// end is kill with another signal.
func end(t *testing.T, p process, signal unix.Signal) {
	t.Helper()
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		t.Fatalf("opening the process %d: %v", p.PID, err)
	}
	defer unix.Close(fd)
	if now, err := identify(p.PID); err != nil || now != p {
		t.Fatalf("the process %d is %v now, not %v (%v)", p.PID, now, p, err)
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
		t.Fatalf("ending the process %d: %v", p.PID, err)
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				t.Fatalf("waiting for the end of the process %d: %v", p.PID, err)
			}
			return
		}
	}
}

// stat returns the fields of /proc/PID/stat after the name: state, parent, ... See proc_pid_stat(5).
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has no known form", pid)
	}
	return fields, nil
}

func identify(pid int) (process, error) {
	fields, err := stat(pid)
	if err != nil {
		return process{}, err
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return process{PID: pid, Start: start}, err
}

// pids lists the machine's processes.
func pids() []int {
	entries, _ := os.ReadDir("/proc")
	var list []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// child finds the child of a process whose program has the name.
func child(t *testing.T, parent int, program string) process {
	t.Helper()
	for _, pid := range pids() {
		fields, err := stat(pid)
		if err != nil || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == program {
			p, err := identify(pid)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatalf("the process %d has no child %s", parent, program)
	return process{}
}

// unusedPort returns a TCP port that nobody listens on now.
func unusedPort() int {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// namespaceKinds are the kinds of namespaces that a node has of its own.
func namespaceKinds() []string { return []string{"mnt", "net", "pid", "uts", "ipc", "cgroup"} }

// traces are the marks by which what belongs to a cluster is known on the machine.
type traces struct {
	dir        string
	name       string
	namespaces []string // such as net:[4026532001]
}

// traces collects the marks of the running cluster, which must be done before it is removed.
func (c *cluster) traces() (traces, error) {
	found := traces{dir: c.dataDir, name: c.name}
	s, err := c.state()
	if err != nil {
		return found, err
	}
	roots := []int{s.Network.PID}
	for _, n := range s.Nodes {
		roots = append(roots, n.Init.PID)
	}
	own := map[string]bool{}
	for _, kind := range namespaceKinds() {
		ns, _ := os.Readlink("/proc/self/ns/" + kind)
		own[ns] = true
	}
	for _, pid := range pids() {
		if !slices.Contains(roots, pid) && !slices.Contains(roots, ancestorAmong(pid, roots)) {
			continue
		}
		for _, kind := range namespaceKinds() {
			ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
			if err == nil && !own[ns] && !slices.Contains(found.namespaces, ns) {
				found.namespaces = append(found.namespaces, ns)
			}
		}
	}
	if len(found.namespaces) < len(s.Nodes)*len(namespaceKinds()) {
		return found, fmt.Errorf("the cluster has only %d namespaces: the search for traces sees too little", len(found.namespaces))
	}
	return found, nil
}

// ancestorAmong returns the nearest ancestor that is one of the roots, or 0.
func ancestorAmong(pid int, roots []int) int {
	for pid > 1 {
		fields, err := stat(pid)
		if err != nil {
			return 0
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			return 0
		}
		if slices.Contains(roots, pid) {
			return pid
		}
	}
	return 0
}

// left tells what of the cluster is still on the machine: processes, namespaces that somebody holds, mounts, cgroups, files.
func (f traces) left() []string {
	if f.dir == "" {
		return nil
	}
	var left []string
	for _, pid := range pids() {
		if why := f.touches(pid); why != "" {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			left = append(left, fmt.Sprintf("process %d (%s): %s", pid, strings.ReplaceAll(string(cmdline), "\x00", " "), why))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, f.dir) || slices.ContainsFunc(f.namespaces, func(ns string) bool { return strings.Contains(line, ns) }) {
			left = append(left, "mount "+line)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasSuffix(path, "/coracle/"+f.name) {
			left = append(left, "cgroup "+path)
			return fs.SkipDir
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(f.dir, "clusters", f.name)); !errors.Is(err, fs.ErrNotExist) {
		left = append(left, "folder of the cluster")
	}
	return left
}

// TestTraces sees that the search for what is left behind would find something: the cluster that runs.
func TestTraces(t *testing.T) {
	if whyNot != nil {
		t.Skip(whyNot)
	}
	found, err := shared.traces()
	if err != nil {
		t.Fatal(err)
	}
	left := strings.Join(found.left(), "\n")
	for _, want := range []string{"coracle-init node", "coracle server", "containerd", "cgroup /sys/fs/cgroup", "folder of the cluster"} {
		if !strings.Contains(left, want) {
			t.Errorf("no %q in:\n%s", want, left)
		}
	}
}

// touches tells how a process belongs to the cluster, if it does.
func (f traces) touches(pid int) string {
	// What has ended and waits for the machine's init to notice is no process any more.
	if fields, err := stat(pid); err != nil || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if pid != os.Getpid() && strings.Contains(string(cmdline), filepath.Join(f.dir, "clusters", f.name)) {
		return "named in its command line"
	}
	cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if strings.Contains(string(cgroup), "/coracle/"+f.name+"/") {
		return "in a cgroup of the cluster"
	}
	for _, kind := range namespaceKinds() {
		if ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); slices.Contains(f.namespaces, ns) {
			return "in the namespace " + ns
		}
	}
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, file := range files {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, file.Name())); slices.Contains(f.namespaces, target) {
			return "holds the namespace " + target
		}
	}
	return ""
}

// machineLinks names the machine's own network devices.
func machineLinks() (string, error) {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return "", fmt.Errorf("listing network devices: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " "), nil
}
