package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/cri"
)

// Tree is a subtree of the machine's control groups. Safe for concurrent use on different pods.
type Tree struct {
	mount  string
	root   string
	v2     bool
	logger *slog.Logger
	once   sync.Map // complaint → struct{}
}

// controllers are the v1 hierarchies that pods use.
func controllers() []string {
	return []string{"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "systemd"}
}

// Open returns the tree below root (a path inside each hierarchy, such as "/") of the hierarchies mounted at mount, normally
// /sys/fs/cgroup.
func Open(mount, root string, logger *slog.Logger) *Tree {
	_, err := os.Stat(filepath.Join(mount, "cgroup.controllers"))
	return &Tree{mount: mount, root: root, v2: err == nil, logger: logger}
}

// Unified says that the machine has cgroup v2 only.
func (t *Tree) Unified() bool { return t.v2 }

// Setup makes the groups of the classes.
func (t *Tree) Setup() error {
	for _, class := range classes() {
		limits := Limits{}
		if strings.HasSuffix(class, "besteffort") {
			limits.CPUShares = 2
		}
		if err := t.make(class, limits); err != nil {
			return fmt.Errorf("making control group %s: %w", class, err)
		}
	}
	return nil
}

// MakePod makes the pod's group, or brings its limits up to date, and returns its path relative to the runtime's root.
func (t *Tree) MakePod(p *v1.Pod) (string, error) {
	parent := Parent(p)
	if err := t.make(parent, PodLimits(p)); err != nil {
		return "", fmt.Errorf("making control group %s: %w", parent, err)
	}
	return filepath.Join(t.root, parent), nil
}

// hierarchies returns where each controller's groups are ("" for v2). The tree begins at root below.
func (t *Tree) hierarchies() map[string]string {
	if t.v2 {
		return map[string]string{"": t.mount}
	}
	out := map[string]string{}
	for _, c := range controllers() {
		dir := filepath.Join(t.mount, c)
		// cpu and cpuacct may be links to one common hierarchy.
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			t.complain("control group controller " + c + " is not mounted; pods run without it")
			continue
		}
		out[c] = dir
	}
	return out
}

func (t *Tree) make(path string, limits Limits) error {
	made := 0
	var failures []error
	path = filepath.Join(t.root, path)
	for controller, base := range t.hierarchies() {
		dir := filepath.Join(base, path)
		if err := t.makeDir(controller, base, path); err != nil {
			failures = append(failures, err)
			continue
		}
		made++
		for name, value := range t.files(controller, limits) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil { //nolint:gosec // a kernel file
				t.complain(fmt.Sprintf("a limit of control groups can't be set: %v", err))
			}
		}
	}
	if made == 0 {
		return errors.Join(failures...)
	}
	for _, err := range failures {
		t.complain(fmt.Sprintf("pods run without a control group controller: %v", err))
	}
	return nil
}

// makeDir makes the path step by step, preparing each step for having children.
func (t *Tree) makeDir(controller, base, path string) error {
	dir := base
	t.delegate(controller, "", dir)
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		parent := dir
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as the kernel's own
			return err
		}
		t.delegate(controller, parent, dir)
	}
	return nil
}

// delegate lets a group have children with limits: v2 must be told, a v1 cpuset must not be empty.
func (t *Tree) delegate(controller, parent, dir string) {
	switch {
	case controller == "cpuset" && parent != "":
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			own, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || strings.TrimSpace(string(own)) != "" {
				continue
			}
			if inherited, err := os.ReadFile(filepath.Join(parent, name)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, name), inherited, 0o644); err != nil { //nolint:gosec // a kernel file
					t.complain(fmt.Sprintf("a cpuset can't be passed on: %v", err))
				}
			}
		}
	case t.v2:
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return
		}
		for _, c := range strings.Fields(string(have)) {
			control := filepath.Join(dir, "cgroup.subtree_control")
			if err := os.WriteFile(control, []byte("+"+c), 0o644); err != nil { //nolint:gosec // as above
				t.complain(fmt.Sprintf("controller %s can't be passed on in %s: %v", c, dir, err))
			}
		}
	}
}

// files returns what to write for the limits.
func (t *Tree) files(controller string, l Limits) map[string]string {
	files := map[string]string{}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch {
	case t.v2:
		if l.CPUShares > 0 {
			files["cpu.weight"] = number(weight(l.CPUShares))
		}
		if l.CPUQuota > 0 {
			files["cpu.max"] = fmt.Sprintf("%d %d", l.CPUQuota, cri.QuotaPeriod)
		}
		if l.Memory > 0 {
			files["memory.max"] = number(l.Memory)
		}
		if l.Pids > 0 {
			files["pids.max"] = number(l.Pids)
		}
	case controller == "cpu":
		if l.CPUShares > 0 {
			files["cpu.shares"] = number(l.CPUShares)
		}
		if l.CPUQuota > 0 {
			files["cpu.cfs_quota_us"] = number(l.CPUQuota)
		}
	case controller == "memory":
		if l.Memory > 0 {
			files["memory.limit_in_bytes"] = number(l.Memory)
		}
	case controller == "pids":
		if l.Pids > 0 {
			files["pids.max"] = number(l.Pids)
		}
	}
	return files
}

// RemovePod removes a pod's group and all below it, wherever it is. Groups with processes can't be removed; that is an error.
func (t *Tree) RemovePod(uid string) error {
	var failures []error
	for _, base := range t.hierarchies() {
		for _, class := range classes() {
			if err := removeTree(filepath.Join(base, t.root, class, "pod"+uid)); err != nil {
				failures = append(failures, err)
			}
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("removing the control groups of pod %s: %w", uid, errors.Join(failures...))
	}
	return nil
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Pods returns the UIDs of pods that have a group.
func (t *Tree) Pods() []string {
	found := map[string]bool{}
	for _, base := range t.hierarchies() {
		for _, class := range classes() {
			entries, err := os.ReadDir(filepath.Join(base, t.root, class))
			if err != nil {
				continue
			}
			for _, e := range entries {
				if uid, ok := uidOf(e.Name()); ok && e.IsDir() {
					found[uid] = true
				}
			}
		}
	}
	uids := make([]string, 0, len(found))
	for uid := range found {
		uids = append(uids, uid)
	}
	return uids
}

func (t *Tree) complain(what string) {
	if _, said := t.once.LoadOrStore(what, struct{}{}); !said {
		t.logger.Warn(what)
	}
}

// ParentOf returns the path of the pod's group relative to the runtime's root, made or not.
func (t *Tree) ParentOf(p *v1.Pod) string { return filepath.Join(t.root, Parent(p)) }
