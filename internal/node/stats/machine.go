package stats

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Machine measures the node as a whole: the control group that everything of the node is in. Safe for concurrent use.
type Machine struct {
	// Mount and Root are where control groups are, and the node's own among them.
	Mount, Root string
	// Disk is a folder on the file system whose use counts.
	Disk string

	mu      sync.Mutex
	last    uint64
	lastAt  time.Time
	started time.Time
}

func (m *Machine) stats(node string, now time.Time) NodeStats {
	at := metav1.NewTime(now)
	s := NodeStats{NodeName: node, StartTime: metav1.NewTime(m.start(now)), Fs: m.fs(at)}
	if used, ok := m.cpu(); ok {
		s.CPU = &CPUStats{Time: at, UsageCoreNanoSeconds: &used, UsageNanoCores: m.rate(used, now)}
	}
	if usage, working, ok := m.memory(); ok {
		s.Memory = &MemoryStats{Time: at, UsageBytes: &usage, WorkingSetBytes: &working}
	}
	return s
}

func (m *Machine) start(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started.IsZero() {
		m.started = now
	}
	return m.started
}

// rate returns the use since the last look in nanocores; nil at the first.
func (m *Machine) rate(used uint64, now time.Time) *uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, at := m.last, m.lastAt
	m.last, m.lastAt = used, now
	span := now.Sub(at)
	if at.IsZero() || span <= 0 || used < last {
		return nil
	}
	rate := uint64(float64(used-last) / span.Seconds())
	return &rate
}

// cpu returns the CPU time used, in nanoseconds.
func (m *Machine) cpu() (uint64, bool) {
	if n, ok := number(filepath.Join(m.Mount, "cpuacct", m.Root, "cpuacct.usage")); ok {
		return n, true
	}
	fields := table(filepath.Join(m.Mount, m.Root, "cpu.stat"))
	n, ok := fields["usage_usec"]
	return n * 1000, ok
}

// memory returns the bytes used, and those that can't be given up at once.
func (m *Machine) memory() (usage, working uint64, ok bool) {
	dir := filepath.Join(m.Mount, "memory", m.Root)
	inactive := "total_inactive_file"
	if usage, ok = number(filepath.Join(dir, "memory.usage_in_bytes")); !ok {
		dir, inactive = filepath.Join(m.Mount, m.Root), "inactive_file"
		if usage, ok = number(filepath.Join(dir, "memory.current")); !ok {
			return 0, 0, false
		}
	}
	working = usage
	if n := table(filepath.Join(dir, "memory.stat"))[inactive]; n <= working {
		working -= n
	}
	return usage, working, true
}

func (m *Machine) fs(at metav1.Time) *FsStats {
	var st unix.Statfs_t
	if unix.Statfs(m.Disk, &st) != nil {
		return nil
	}
	size := uint64(st.Bsize)
	available, capacity, used := st.Bavail*size, st.Blocks*size, (st.Blocks-st.Bfree)*size
	free, inodes, inodesUsed := st.Ffree, st.Files, st.Files-st.Ffree
	return &FsStats{
		Time: at, AvailableBytes: &available, CapacityBytes: &capacity, UsedBytes: &used,
		InodesFree: &free, Inodes: &inodes, InodesUsed: &inodesUsed,
	}
}

func number(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// table reads lines of a name and a number.
func table(path string) map[string]uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	fields := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(rest, 10, 64); err == nil {
			fields[name] = n
		}
	}
	return fields
}
