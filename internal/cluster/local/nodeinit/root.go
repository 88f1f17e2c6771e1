package nodeinit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
)

const secure = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) do(root string) error {
	target := filepath.Join(root, m.target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("mounting %s: %w", m.target, err)
	}
	if err := unix.Mount(m.source, target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
	}
	return nil
}

// systemMounts are the file systems that every node has of its own, in order.
func systemMounts() []mount {
	return []mount{
		{"proc", "/proc", "proc", secure, ""},
		{"sysfs", "/sys", "sysfs", secure, ""},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/dev", "tmpfs", unix.MS_NOSUID | unix.MS_STRICTATIME, "mode=755"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
		{"tmpfs", "/dev/shm", "tmpfs", secure, "mode=1777"},
		{"mqueue", "/dev/mqueue", "mqueue", secure, ""},
	}
}

// cgroupMounts are the node's own cgroup trees, where the machine has them.
func cgroupMounts(hierarchies []cgroups.Hierarchy) []mount {
	list := []mount{}
	for _, h := range hierarchies {
		if h.V2() {
			list = append(list, mount{"cgroup2", h.Mountpoint, "cgroup2", secure, ""})
			continue
		}
		list = append(list, mount{"cgroup", h.Mountpoint, "cgroup", secure, h.Options})
	}
	// A tmpfs carries the mounts of several hierarchies; a lone version 2 hierarchy is mounted on /sys/fs/cgroup itself.
	if !slices.ContainsFunc(list, func(m mount) bool { return m.target == "/sys/fs/cgroup" }) {
		list = append([]mount{{"tmpfs", "/sys/fs/cgroup", "tmpfs", secure, "mode=755"}}, list...)
	}
	return list
}

// device is a device file of the node. Disks are not among them: a privileged pod gets the node's devices.
type device struct {
	name         string
	major, minor uint32
	mode         uint32
}

func devices() []device {
	return []device{
		{"null", 1, 3, 0o666},
		{"zero", 1, 5, 0o666},
		{"full", 1, 7, 0o666},
		{"random", 1, 8, 0o666},
		{"urandom", 1, 9, 0o666},
		{"kmsg", 1, 11, 0o600},
		{"tty", 5, 0, 0o666},
		{"fuse", 10, 229, 0o666},
		{"net/tun", 10, 200, 0o666},
	}
}

// buildRoot makes the node's file system and makes it the process's root. The mounts of the machine are let go of.
func buildRoot(c *Config) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("taking the mounts apart from the machine's: %w", err)
	}
	if err := overlayRoot(c); err != nil {
		return err
	}
	for _, m := range append(systemMounts(), cgroupMounts(c.Hierarchies)...) {
		if err := m.do(c.Root); err != nil {
			return err
		}
	}
	if err := linkControllers(c); err != nil {
		return err
	}
	if err := makeDevices(filepath.Join(c.Root, "dev")); err != nil {
		return err
	}
	for _, b := range c.Binds {
		if err := bind(c.Root, b); err != nil {
			return err
		}
	}
	if err := writeEtc(c); err != nil {
		return err
	}
	return pivot(c.Root)
}

// overlayRoot lays the node's own folder over the machine's root. Where the folder's file system can't be the upper one of an
// overlay (it may be an overlay itself), memory is.
func overlayRoot(c *Config) error {
	options := func(upper, work string) string { return "lowerdir=/,upperdir=" + upper + ",workdir=" + work }
	err := unix.Mount("overlay", c.Root, "overlay", 0, options(c.Upper, c.Work))
	if err == nil {
		return nil
	}
	memory := filepath.Dir(c.Upper)
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, "mode=700"); err != nil {
		return fmt.Errorf("mounting memory for the node's root: %w", err)
	}
	for _, dir := range []string{c.Upper, c.Work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("making the node's root: %w", err)
		}
	}
	if again := unix.Mount("overlay", c.Root, "overlay", 0, options(c.Upper, c.Work)); again != nil {
		return fmt.Errorf("mounting the node's root: %w (and before, on the disk: %w)", again, err)
	}
	return nil
}

// linkControllers gives controllers that share a hierarchy (cpu,cpuacct) the names by which programs look for them.
func linkControllers(c *Config) error {
	for _, h := range c.Hierarchies {
		base := filepath.Base(h.Mountpoint)
		if h.V2() || !strings.Contains(base, ",") {
			continue
		}
		for _, name := range strings.Split(base, ",") {
			link := filepath.Join(c.Root, filepath.Dir(h.Mountpoint), name)
			if err := os.Symlink(base, link); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("naming a cgroup hierarchy: %w", err)
			}
		}
	}
	return nil
}

func makeDevices(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "net"), 0o755); err != nil {
		return fmt.Errorf("making devices: %w", err)
	}
	for _, d := range devices() {
		path := filepath.Join(dir, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("making the device %s: %w", d.name, err)
		}
		if err := os.Chmod(path, fs.FileMode(d.mode)); err != nil { // The umask was in the way.
			return fmt.Errorf("making the device %s: %w", d.name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "pts/ptmx", "console": "null",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("making the device %s: %w", name, err)
		}
	}
	return nil
}

func bind(root string, b Bind) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("showing %s to the node: %w", b.Source, err)
	}
	target := filepath.Join(root, b.Target)
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o755); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("showing %s to the node: %w", b.Source, err)
	}
	if err := unix.Mount(b.Source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing %s to the node: %w", b.Source, err)
	}
	if !b.ReadOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", b.Target, err)
	}
	return nil
}

// writeEtc writes the files by which programs know the node's name and names of others. They are replaced, not written
// through: the machine's may be links into folders that the node does not have.
func writeEtc(c *Config) error {
	hosts := "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
	names := make([]string, 0, len(c.Hosts))
	for name := range c.Hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		hosts += c.Hosts[name] + " " + name + "\n"
	}
	resolv := ""
	for _, server := range c.NameServers {
		resolv += "nameserver " + server + "\n"
	}
	for name, text := range map[string]string{"hostname": c.Hostname + "\n", "hosts": hosts, "resolv.conf": resolv} {
		path := filepath.Join(c.Root, "etc", name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("writing /etc/%s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing /etc/%s: %w", name, err)
		}
	}
	return nil
}

func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("changing to the node's root: %w", err)
	}
	// The old root ends up mounted over the new one, where it can be taken away without a folder for it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing to the node's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the machine's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("changing to the node's root: %w", err)
	}
	// Mounts that the agent makes must reach the containers that ask for it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the node's mounts: %w", err)
	}
	return nil
}
