package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage is what a process uses: memory in MiB, processor time in seconds since it was started.
type usage struct {
	pid            int
	program        string
	rss, anonymous float64
	cpu            float64
}

// ticks is how many clock ticks /proc/PID/stat counts in a second; the same on every Linux that Go runs on.
const ticks = 100

// processes lists the processes of a node, and those given besides.
func processes(c *cluster) ([]usage, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.init))
	if err != nil {
		return nil, fmt.Errorf("looking at the node's processes: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking at the node's processes: %w", err)
	}
	var list []usage
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// A process may end while it is looked at. Pods' processes have PID namespaces of their own and are not listed.
		in, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil || in != namespace && !slices.Contains(c.extra, pid) {
			continue
		}
		u, err := readUsage(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(c.ignored, u.program) {
			list = append(list, u)
		}
	}
	return list, nil
}

func readUsage(pid int) (usage, error) {
	u := usage{pid: pid}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return u, fmt.Errorf("reading the process %d: %w", pid, err)
	}
	program, rest, _ := strings.Cut(string(args), "\x00")
	u.program = filepath.Base(program)
	if u.program == "coracle-init" {
		verb, _, _ := strings.Cut(rest, "\x00")
		u.program += " " + verb
	}
	status, errStatus := os.ReadFile(filepath.Join(dir, "status"))
	stat, errStat := os.ReadFile(filepath.Join(dir, "stat"))
	if err := errors.Join(errStatus, errStat); err != nil {
		return u, fmt.Errorf("reading the process %d: %w", pid, err)
	}
	u.rss, u.anonymous = memory(string(status))
	u.cpu, err = cpuTime(string(stat))
	return u, err
}

// memory reads /proc/PID/status: all resident memory and its anonymous part, in MiB.
func memory(status string) (rss, anonymous float64) {
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "VmRSS:":
			rss = kib / 1024
		case "RssAnon:":
			anonymous = kib / 1024
		}
	}
	return rss, anonymous
}

// cpuTime reads fields 14 and 15 of /proc/PID/stat, in seconds; see proc_pid_stat(5). The second may hold spaces and brackets.
func cpuTime(stat string) (float64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading a process's time: %q has no known form", stat)
	}
	user, errUser := strconv.ParseFloat(fields[11], 64)
	system, errSystem := strconv.ParseFloat(fields[12], 64)
	if err := errors.Join(errUser, errSystem); err != nil {
		return 0, fmt.Errorf("reading a process's time: %w", err)
	}
	return (user + system) / ticks, nil
}

// holders finds the process that holds a local cluster's network, by the folder that its command names.
func holders(dir string) []int {
	var found []int
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		args, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(args), "coracle-init\x00network\x00"+dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// isRuntime tells whether a program belongs to containerd, which both systems use alike.
func isRuntime(program string) bool {
	return strings.HasPrefix(program, "containerd") || program == "runc"
}

func sum(list []usage, of func(usage) float64, runtime bool) float64 {
	total := 0.0
	for _, u := range list {
		if isRuntime(u.program) == runtime {
			total += of(u)
		}
	}
	return total
}

func rss(u usage) float64       { return u.rss }
func anonymous(u usage) float64 { return u.anonymous }
func cpu(u usage) float64       { return u.cpu }

// measureIdle reads memory after the cluster was left alone, and the processor time that it then takes doing nothing.
func measureIdle(ctx context.Context, o *options, c *cluster, into *column) error {
	if err := sleep(ctx, o.settle); err != nil {
		return err
	}
	before, err := processes(c)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := sleep(ctx, o.window); err != nil {
		return err
	}
	after, err := processes(c)
	if err != nil {
		return err
	}
	took := seconds(time.Since(began))
	into.add(mMemory, sum(after, rss, false))
	into.add(mAnonymous, sum(after, anonymous, false))
	into.add(mRuntimeMemory, sum(after, rss, true))
	into.add(mCPU, 100*(sum(after, cpu, false)-sum(before, cpu, false))/took)
	into.add(mRuntimeCPU, 100*(sum(after, cpu, true)-sum(before, cpu, true))/took)
	started := map[int]float64{}
	for _, u := range before {
		started[u.pid] = u.cpu
	}
	for _, u := range after {
		into.process(u, 100*(u.cpu-started[u.pid])/took)
	}
	return nil
}

// measureLoaded reads memory once more, after all the other measurements.
func measureLoaded(ctx context.Context, o *options, c *cluster, into *column) error {
	if err := sleep(ctx, o.settle/3); err != nil {
		return err
	}
	list, err := processes(c)
	if err != nil {
		return err
	}
	into.add(mLoadedMemory, sum(list, rss, false))
	into.add(mLoadedAnonymous, sum(list, anonymous, false))
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
