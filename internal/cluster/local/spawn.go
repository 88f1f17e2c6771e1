package local

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
	"coracle.dev/coracle/internal/cluster/local/holder"
	"coracle.dev/coracle/internal/cluster/local/nodeinit"
)

// maxLog is the size in bytes at which a log is put aside.
const maxLog = 16 << 20

// launch is the start of a helper process that outlives this one. Its descriptors 3 and 4 are a pipe that lets it go on and one
// for its report; files follow from 5 on.
type launch struct {
	program string
	args    []string
	log     string
	flags   uintptr
	files   []*os.File
}

// run starts the helper, tells began and then furnish about it while it waits, lets it go on, and returns when it says that it
// is ready. After an error, or when this process dies, the helper sees the end of its pipe and ends.
func (l launch) run(began, furnish func(process) error) error {
	goRead, goWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", l.args[0], err)
	}
	defer goWrite.Close()
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		goRead.Close()
		return fmt.Errorf("starting %s: %w", l.args[0], err)
	}
	defer statusRead.Close()
	id, err := l.start(goRead, statusWrite)
	goRead.Close()
	statusWrite.Close()
	if err != nil {
		return fmt.Errorf("starting %s: %w", l.args[0], err)
	}
	if err := began(id); err != nil {
		return err
	}
	if furnish != nil {
		if err := furnish(id); err != nil {
			return err
		}
	}
	if _, err := goWrite.Write([]byte{1}); err != nil {
		return fmt.Errorf("letting %s go on: %w", l.args[0], err)
	}
	return l.report(statusRead)
}

func (l launch) start(goRead, statusWrite *os.File) (process, error) {
	if err := os.MkdirAll(filepath.Dir(l.log), 0o700); err != nil {
		return process{}, err
	}
	log, err := openLog(l.log)
	if err != nil {
		return process{}, err
	}
	defer log.Close()
	cmd := exec.Command(l.program, l.args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = append([]*os.File{goRead, statusWrite}, l.files...)
	// A session of its own keeps the terminal's Ctrl-C away.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: l.flags}
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	id, err := identify(cmd.Process.Pid)
	// While this process lives it is the parent, and collects what has ended.
	go func() { _ = cmd.Wait() }()
	return id, err
}

// report reads what the helper says.
func (l launch) report(status *os.File) error {
	said, err := io.ReadAll(io.LimitReader(status, 64<<10))
	switch {
	case err != nil:
		return fmt.Errorf("waiting for %s: %w", l.args[0], err)
	case string(said) == nodeinit.Ready:
		return nil
	case len(said) == 0:
		return fmt.Errorf("%s ended without a word; its log is %s", l.args[0], l.log)
	default:
		return errors.New(string(said))
	}
}

// openLog opens a log to append to; one that has grown big is put aside first.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// startNetwork starts the holder. began is told about the process before it does anything, to write it down. The listening
// sockets stay this process's to close.
func startNetwork(program string, p paths, config holder.Config, listeners []*os.File, began func(process) error) error {
	if err := writeJSON(p.networkConfig(), config); err != nil {
		return err
	}
	lock, err := lockFile(p.networkLock(), false)
	if err != nil {
		return fmt.Errorf("the cluster's network is in use: %w", err)
	}
	defer lock.Close()
	outside, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("opening the machine's network: %w", err)
	}
	defer outside.Close()
	l := launch{
		program: program, args: []string{"network", p.networkConfig()}, log: p.networkLog(), flags: unix.CLONE_NEWNET,
		files: append([]*os.File{lock, outside}, listeners...),
	}
	return l.run(began, nil)
}

// nodePlan is everything that starting one node needs.
type nodePlan struct {
	program     string // coracle-init
	dir         string
	config      nodeinit.Config
	hierarchies []cgroups.Hierarchy
	cgroup      string
	network     process // the holder
	mac         string
}

// startNode starts a node. began is told about the process before the node's world is made, to write it down.
func startNode(plan nodePlan, began func(process) error) error {
	lock, err := lockFile(filepath.Join(plan.dir, "lock"), false)
	if err != nil {
		return fmt.Errorf("the node's folder is in use: %w", err)
	}
	defer lock.Close()
	for _, dir := range []string{plan.config.Root, plan.config.Upper, plan.config.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the node's folders: %w", err)
		}
	}
	configPath := filepath.Join(plan.dir, "config.json")
	if err := writeJSON(configPath, plan.config); err != nil {
		return err
	}
	l := launch{
		program: plan.program, args: []string{"node", configPath}, log: filepath.Join(plan.dir, "log"),
		flags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		files: []*os.File{lock},
	}
	return l.run(began, func(id process) error {
		if err := cgroups.Create(plan.hierarchies, plan.cgroup, id.PID); err != nil {
			return err
		}
		if plan.config.Interface == "" {
			return nil
		}
		return connect(plan.network, id, plan.config.Interface, plan.mac, plan.config.Hostname)
	})
}

// inNetwork calls do on a thread that is in the network namespace of a process.
func inNetwork(of process, do func() error) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", of.PID))
	if err != nil {
		return fmt.Errorf("opening the network of the process %d: %w", of.PID, err)
	}
	defer namespace.Close()
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine and no other runs in that namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("entering the network of the process %d: %w", of.PID, err)
			return
		}
		result <- do()
	}()
	return <-result
}

// listen opens a listening socket on 127.0.0.1. With port 0 it takes the preferred port, or any when that is taken.
func listen(port, preferred int) (*os.File, int, error) {
	try := func(port int) (*os.File, int, error) {
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return nil, 0, err
		}
		defer listener.Close()
		tcp, ok := listener.(*net.TCPListener)
		if !ok {
			return nil, 0, fmt.Errorf("a %T is no TCP socket", listener)
		}
		file, err := tcp.File()
		if err != nil {
			return nil, 0, err
		}
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, 0, fmt.Errorf("a %T is no TCP address", listener.Addr())
		}
		return file, address.Port, nil
	}
	if port == 0 {
		if file, got, err := try(preferred); err == nil {
			return file, got, nil
		}
	}
	file, got, err := try(port)
	if err != nil {
		return nil, 0, fmt.Errorf("listening on 127.0.0.1:%d: %w", port, err)
	}
	return file, got, nil
}
