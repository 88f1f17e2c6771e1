package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process names a process for good: numbers are used again, but not with the same start and the same boot.
type process struct {
	PID int `json:"pid"`
	// Start is the start time in clock ticks since the boot with the identifier Boot.
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

func identify(pid int) (process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, fmt.Errorf("identifying the process %d: %w", pid, err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, fmt.Errorf("identifying the process %d: %w", pid, err)
	}
	start, err := startTime(string(stat))
	if err != nil {
		return process{}, fmt.Errorf("identifying the process %d: %w", pid, err)
	}
	return process{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// startTime reads the 22nd field of /proc/PID/stat; see proc_pid_stat(5). The second may hold spaces and brackets.
func startTime(stat string) (uint64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, errors.New("its stat file has no known form")
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its start time: %w", err)
	}
	return start, nil
}

// open returns a pidfd of the process, or ok false when it has ended.
func (p process) open() (fd int, ok bool) {
	if p.PID <= 1 {
		return -1, false
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1, false
	}
	// The number can't be used again while the descriptor is open, so what is seen now is what it stands for.
	now, err := identify(p.PID)
	if err != nil || now != p || exited(fd) {
		unix.Close(fd)
		return -1, false
	}
	return fd, true
}

func exited(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

func (p process) alive() bool {
	fd, ok := p.open()
	if ok {
		unix.Close(fd)
	}
	return ok
}

// end sends a signal and waits until the process has ended. One that has ended before is no error.
func (p process) end(ctx context.Context, signal unix.Signal) error {
	fd, ok := p.open()
	if !ok {
		return nil
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("sending %s to the process %d: %w", unix.SignalName(signal), p.PID, err)
	}
	return waitExit(ctx, fd, p.PID)
}

// waitExit waits on a pidfd, and on ctx by a pipe, so that neither needs to be looked at again and again.
func waitExit(ctx context.Context, fd, pid int) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("waiting for the process %d: %w", pid, err)
	}
	defer unix.Close(pipe[0])
	wake := os.NewFile(uintptr(pipe[1]), "wake")
	defer wake.Close()
	stop := context.AfterFunc(ctx, func() { wake.Close() })
	defer stop()
	for {
		list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(pipe[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(list, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for the process %d: %w", pid, err)
		}
		if list[0].Revents != 0 {
			return nil
		}
		if list[1].Revents != 0 {
			return fmt.Errorf("waiting for the process %d to end: %w", pid, context.Cause(ctx))
		}
	}
}
