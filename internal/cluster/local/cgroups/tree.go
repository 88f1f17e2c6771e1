package cgroups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine returns the hierarchies of this machine as this process sees them.
func Machine() ([]Hierarchy, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for cgroup hierarchies: %w", err)
	}
	defer file.Close()
	list, err := Parse(file)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("this machine has no cgroup hierarchy mounted")
	}
	return list, nil
}

// Create makes the cgroup of a name in every hierarchy and moves a process there. The name's first part is made below the
// hierarchy's mount.
func Create(hierarchies []Hierarchy, name string, pid int) error {
	for _, h := range hierarchies {
		dir, err := h.create(name)
		if err != nil {
			return err
		}
		if err := enter(dir, pid); err != nil {
			return err
		}
	}
	return nil
}

func enter(dir string, pid int) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("moving the process %d into the cgroup %s: %w", pid, dir, err)
	}
	return nil
}

func (h Hierarchy) create(name string) (string, error) {
	dir := h.Mountpoint
	for _, part := range strings.Split(name, "/") {
		if h.V2() {
			if err := delegate(dir); err != nil {
				return "", err
			}
		}
		parent := dir
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("making a cgroup: %w", err)
		}
		if h.Has("cpuset") {
			if err := inheritCpuset(parent, dir); err != nil {
				return "", err
			}
		}
	}
	return dir, nil
}

// inheritCpuset fills what a version 1 cpuset must have before a process may enter.
func inheritCpuset(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return fmt.Errorf("preparing a cpuset: %w", err)
		}
		if len(bytes.TrimSpace(have)) > 0 {
			continue
		}
		value, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return fmt.Errorf("preparing a cpuset: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
			return fmt.Errorf("preparing a cpuset: %w", err)
		}
	}
	return nil
}

// delegate lets the children of a version 2 cgroup use all its controllers.
func delegate(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("delegating cgroup controllers: %w", err)
	}
	for _, controller := range strings.Fields(string(data)) {
		// One at a time: a controller that can't be delegated (a realtime process in the way) must not hinder the others.
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delegating the cgroup controller %s of %s: %w", controller, dir, err)
		}
	}
	return nil
}

// Leaf moves the calling process of a new cgroup namespace into a child of the namespace's root and delegates the root's
// controllers: a version 2 cgroup may have processes or controlled children, not both. root is where the hierarchy is mounted.
func Leaf(root, name string) error {
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making a cgroup: %w", err)
	}
	if err := enter(dir, os.Getpid()); err != nil {
		return err
	}
	return delegate(root)
}

// Remove kills what is left in the cgroup of a name, in every hierarchy, and removes it with everything below. Parents that
// are empty then go too.
func Remove(ctx context.Context, hierarchies []Hierarchy, name string) error {
	var errs []error
	for _, h := range hierarchies {
		if err := h.remove(ctx, name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h Hierarchy) remove(ctx context.Context, name string) error {
	dir := filepath.Join(h.Mountpoint, name)
	// A cgroup stays busy for a moment after its last process is gone, and nothing tells when version 1 has let go of it.
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if err := killAll(dir); err != nil {
			return err
		}
		err := removeTree(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("removing a cgroup: %w", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("removing a cgroup: %w", err)
		}
	}
	for parent := filepath.Dir(name); parent != "."; parent = filepath.Dir(parent) {
		if unix.Rmdir(filepath.Join(h.Mountpoint, parent)) != nil {
			break // Another node or cluster is there.
		}
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
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// killAll kills every process in the tree and waits until each has ended.
func killAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking for processes: %w", err)
		}
		if !entry.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // It went away, or (version 2) holds threads only; removing it will tell.
		}
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil || pid <= 1 || pid == os.Getpid() {
				continue
			}
			killOne(pid)
		}
		return nil
	})
}

func killOne(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // It has ended.
	}
	defer unix.Close(fd)
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return
	}
	// A process in an uninterruptible call may take its time; the caller tries again.
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
}
