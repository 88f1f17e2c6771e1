package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// subPath mounts a part of a volume at a place of its own and returns that place. A pod can write symbolic links into its
// volume at any moment, so the kernel resolves the path with the volume as its root, and what was found is bound by its open
// descriptor, never again by name.
func (m *Manager) subPath(uid types.UID, volume, container, root, sub string, index int) (string, error) {
	fd, err := openInRoot(root, sub)
	if err != nil {
		return "", fmt.Errorf("opening subPath %q: %w", sub, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", fmt.Errorf("looking at subPath %q: %w", sub, err)
	}
	target := filepath.Join(m.PodDir(uid), "volume-subpaths", volume, container, strconv.Itoa(index))
	if err := m.clear(target); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return "", fmt.Errorf("making a place for subPath %q: %w", sub, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = os.Mkdir(target, 0o750)
	} else {
		err = os.WriteFile(target, nil, 0o640)
	}
	if err != nil {
		return "", fmt.Errorf("making a place for subPath %q: %w", sub, err)
	}
	if err := m.cfg.Mounter.Bind(fd, target); err != nil {
		return "", fmt.Errorf("binding subPath %q: %w", sub, err)
	}
	return target, nil
}

// clear removes the place of an earlier container's subPath; only an empty one, so that nothing is deleted through a mount.
func (m *Manager) clear(target string) error {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for {
		err := m.cfg.Mounter.Unmount(target)
		if errors.Is(err, unix.EINVAL) {
			break // no longer a mount
		}
		if err != nil {
			return fmt.Errorf("unmounting %s: %w", target, err)
		}
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", target, err)
	}
	return nil
}

// openInRoot opens a path below root, making folders that are missing, without ever leaving root.
func openInRoot(root, sub string) (int, error) {
	base, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(base, sub, &how)
	if !errors.Is(err, unix.ENOENT) {
		unix.Close(base)
		return fd, err
	}
	perm, err := modeOf(base)
	if err != nil {
		unix.Close(base)
		return -1, err
	}
	// Walk down, making what is missing. Every step is resolved inside root.
	defer unix.Close(base)
	done := ""
	for _, part := range strings.Split(filepath.Clean(sub), "/") {
		next := filepath.Join(done, part)
		fd, err := unix.Openat2(base, next, &how)
		if errors.Is(err, unix.ENOENT) {
			fd, err = mkdirIn(base, done, part, perm, &how)
		}
		if err != nil {
			return -1, err
		}
		if next == filepath.Clean(sub) {
			return fd, nil
		}
		unix.Close(fd)
		done = next
	}
	return -1, unix.ENOENT
}

func mkdirIn(base int, parent, name string, perm uint32, how *unix.OpenHow) (int, error) {
	if parent == "" {
		parent = "."
	}
	dir, err := unix.Openat2(base, parent, how)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	if err := unix.Mkdirat(dir, name, perm); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	// NOFOLLOW: a link that appeared in the meantime is not what was made.
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	// The umask must not take away what the volume's own mode gives.
	return fd, unix.Fchmodat(dir, name, perm, 0)
}

func modeOf(fd int) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Mode & 0o7777, err
}
