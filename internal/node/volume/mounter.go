package volume

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Mounter is what the kernel does for volumes.
type Mounter interface {
	// Tmpfs mounts a memory file system of at most size bytes (0: the kernel's default) that anybody may write to.
	Tmpfs(dir string, size int64) error
	// Bind mounts what a file descriptor is open on, at target.
	Bind(fd int, target string) error
	// Unmount detaches a mount.
	Unmount(path string) error
	// Below lists the mounts below a folder, outer before inner.
	Below(dir string) ([]string, error)
}

// Kernel is the Mounter of the machine.
type Kernel struct{}

// Tmpfs implements Mounter.
func (Kernel) Tmpfs(dir string, size int64) error {
	options := "mode=0777"
	if size > 0 {
		options += fmt.Sprintf(",size=%d", size)
	}
	return unix.Mount("tmpfs", dir, "tmpfs", 0, options)
}

// Bind implements Mounter.
func (Kernel) Bind(fd int, target string) error {
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND|unix.MS_REC, "")
}

// Unmount implements Mounter.
func (Kernel) Unmount(path string) error {
	return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

// Below implements Mounter.
func (Kernel) Below(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var paths []string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 5 {
			continue
		}
		if path := unescape(fields[4]); strings.HasPrefix(path, dir+"/") {
			paths = append(paths, path)
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return paths, scanner.Err()
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
