package nodestatus

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what the machine says of itself.
type Machine struct {
	CPUs             int
	Memory           int64 // bytes
	Disk             int64 // bytes of the file system of the agent's folder
	Arch             string
	Kernel           string
	OS               string
	ID, UUID, BootID string
}

// Pressure is what the machine has left.
type Pressure struct {
	MemoryAvailable int64 // bytes; negative when unknown
	DiskAvailable   int64
	DiskSize        int64
	InodesFree      uint64
	Inodes          uint64
	Threads, MaxPID int64
}

// Read asks the machine. root is the agent's folder. What can't be read stays empty.
func Read(root string) Machine {
	m := Machine{
		CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Memory: meminfo("MemTotal"), OS: osName(),
		ID: line("/etc/machine-id"), UUID: line("/sys/class/dmi/id/product_uuid"),
		BootID: line("/proc/sys/kernel/random/boot_id"),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if size, _, _, _ := statfs(root); size > 0 {
		m.Disk = size
	}
	return m
}

// ReadPressure asks what is left.
func ReadPressure(root string) Pressure {
	p := Pressure{MemoryAvailable: meminfo("MemAvailable")}
	p.DiskSize, p.DiskAvailable, p.Inodes, p.InodesFree = statfs(root)
	p.MaxPID, _ = strconv.ParseInt(line("/proc/sys/kernel/pid_max"), 10, 64)
	// The fourth field of loadavg is "running/threads".
	if fields := strings.Fields(line("/proc/loadavg")); len(fields) > 3 {
		_, threads, _ := strings.Cut(fields[3], "/")
		p.Threads, _ = strconv.ParseInt(threads, 10, 64)
	}
	return p
}

func statfs(path string) (size, available int64, inodes, free uint64) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0, 0, 0, 0
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, st.Files, st.Ffree
}

// meminfo returns a field of /proc/meminfo in bytes, -1 when it can't be read.
func meminfo(field string) int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return -1
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		var kib int64
		if name, rest, ok := strings.Cut(scanner.Text(), ":"); ok && name == field {
			if _, err := fmt.Sscanf(rest, "%d kB", &kib); err == nil {
				return kib << 10
			}
		}
	}
	return -1
}

func line(path string) string {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// osName returns PRETTY_NAME of os-release.
func osName() string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		for _, l := range strings.Split(line(path), "\n") {
			if value, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
				return strings.Trim(value, `"'`)
			}
		}
	}
	return runtime.GOOS
}
