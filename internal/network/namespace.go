package network

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is the network namespace that the parts run in. Usually it is the process's own, but nothing relies on that: which
// namespace a process's other threads are in cannot be told for sure, and guessing wrong would change somebody else's network.
type namespace struct {
	file *os.File
}

// currentNamespace returns the namespace of the calling goroutine's thread.
func currentNamespace() (*namespace, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace: %w", err)
	}
	return &namespace{file: f}, nil
}

func (n *namespace) close() error { return n.file.Close() }

// run runs f in the namespace, on the calling goroutine, which must end afterwards: its thread stays in the namespace and is not
// used for anything else.
func (n *namespace) run(f func()) error {
	runtime.LockOSThread()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	f()
	return nil
}
