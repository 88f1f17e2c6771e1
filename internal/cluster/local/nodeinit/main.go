package nodeinit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// stageTwo is the argument of the second start; see Main.
const stageTwo = "in-cgroup-namespace"

// Main is the whole program of a node's first process. args are the path of the configuration file and, at the second start,
// a mark. It ends the process.
//
// There are two starts because a cgroup namespace shows as its root the cgroup in which it was made: the process must be put
// into its cgroup first. And as unshare(2) changes one thread only, that thread then starts the program anew.
func Main(args []string) {
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "coracle-init:", err)
		status := os.NewFile(StatusFD, "status")
		fmt.Fprint(status, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(args []string) error {
	switch {
	case len(args) == 1:
		return enterCgroupNamespace(args[0])
	case len(args) == 2 && args[1] == stageTwo:
	default:
		return errors.New("the arguments are a configuration file's path")
	}
	for _, fd := range []int{GoFD, StatusFD, LockFD} {
		unix.CloseOnExec(fd)
	}
	config, err := load(args[0])
	if err != nil {
		return err
	}
	if err := buildRoot(config); err != nil {
		return err
	}
	if err := setUp(config); err != nil {
		return err
	}
	supervisor, err := newSupervisor(config, os.Stderr)
	if err != nil {
		return err
	}
	status := os.NewFile(StatusFD, "status")
	if _, err := status.WriteString(Ready); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if err := status.Close(); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	return supervisor.run()
}

func enterCgroupNamespace(configPath string) error {
	buffer := make([]byte, 1)
	if _, err := io.ReadFull(os.NewFile(GoFD, "go"), buffer); err != nil {
		return fmt.Errorf("the other side gave up: %w", err)
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("making a cgroup namespace: %w", err)
	}
	for _, fd := range []uintptr{GoFD, StatusFD, LockFD} {
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keeping the descriptor %d open: %w", fd, err)
		}
	}
	// By its path rather than by /proc/self/exe, so that the process is called by its name.
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	err = unix.Exec(program, []string{os.Args[0], os.Args[1], configPath, stageTwo}, os.Environ())
	return fmt.Errorf("starting in the cgroup namespace: %w", err)
}
