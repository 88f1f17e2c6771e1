package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/platforms"
	"golang.org/x/sys/unix"
)

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// steadyAfter is how long containerd must have run for its end to count as the first one.
	steadyAfter = 30 * time.Second
	// stopTimeout is how long containerd may take to end when asked to.
	stopTimeout = 10 * time.Second
	// maxLog is the size in bytes at which the log is put aside at a start.
	maxLog = 16 << 20
)

// Supervisor keeps containerd running. Make it with New and call Run once; the other methods are safe for concurrent use.
type Supervisor struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	ready chan struct{} // closed while containerd is ready
	pid   int
}

// New returns a supervisor of containerd.
func New(cfg Config, log *slog.Logger) *Supervisor {
	return &Supervisor{cfg: cfg, log: log, ready: make(chan struct{})}
}

// Ready waits until containerd serves the CRI.
func (s *Supervisor) Ready(ctx context.Context) error {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for containerd: %w", context.Cause(ctx))
	}
}

// PID returns containerd's process, or 0 while it does not run.
func (s *Supervisor) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Run keeps containerd running until ctx ends, then stops it. Containers go on running.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	var delay time.Duration
	for {
		began := time.Now()
		err := s.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		delay = nextDelay(delay, time.Since(began))
		s.log.Warn("containerd ended; starting it again", "error", err, "delay", delay)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// nextDelay is how long to wait before the next start, after a run that lasted ran and was preceded by a wait of last.
func nextDelay(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= steadyAfter {
		return firstDelay
	}
	return min(2*last, maxDelay)
}

func (s *Supervisor) prepare() error {
	if err := s.cfg.validate(); err != nil {
		return err
	}
	for _, dir := range []string{s.cfg.Root, s.cfg.State, s.cfg.CNIConfDir, filepath.Dir(s.cfg.LogFile)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("preparing containerd's folders: %w", err)
		}
	}
	text, err := s.cfg.toml(platforms.DefaultString())
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.configFile(), text, 0o600); err != nil {
		return fmt.Errorf("writing containerd's configuration: %w", err)
	}
	return nil
}

func (s *Supervisor) configFile() string { return filepath.Join(s.cfg.State, "config.toml") }

// runOnce runs containerd once, to its end.
func (s *Supervisor) runOnce(ctx context.Context) error {
	// The death signal below is sent when the thread that started containerd ends, so the thread must last as long.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()

	notify, err := listenNotify(filepath.Join(s.cfg.State, "notify.sock"))
	if err != nil {
		return err
	}
	defer func() { _ = notify.Close() }() // the next run makes its own
	log, err := openLog(s.cfg.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(filepath.Join(s.cfg.Binaries, "containerd"), "--config", s.configFile())
	cmd.Env = append(append([]string{}, s.cfg.Environ...),
		"PATH="+s.cfg.Binaries+":"+os.Getenv("PATH"), "NOTIFY_SOCKET="+notify.path)
	cmd.Stdout, cmd.Stderr = log, log
	// An agent that was killed takes containerd with it, so that the next agent's containerd finds its lock free. The shims
	// lead sessions of their own and stay.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	s.setPID(cmd.Process.Pid)
	ended := make(chan struct{})
	var end error // once ended is closed
	go func() {
		defer close(ended)
		end = cmd.Wait()
	}()
	go func() {
		if notify.wait() == nil {
			s.setReady(cmd.Process.Pid)
		}
	}()
	defer s.setGone()
	select {
	case <-ended:
		return fmt.Errorf("containerd ended: %w (its log is %s)", errOrExit(end), s.cfg.LogFile)
	case <-ctx.Done():
		return stop(cmd, ended)
	}
}

func errOrExit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop asks containerd to end, and kills it when it does not.
func stop(cmd *exec.Cmd, ended <-chan struct{}) error {
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping containerd: %w", err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing containerd: %w", err)
		}
		<-ended
	}
	return nil
}

func (s *Supervisor) setPID(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = pid
}

func (s *Supervisor) setReady(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid != pid {
		return // It has ended meanwhile.
	}
	s.log.Info("containerd is ready", "pid", pid, "socket", s.cfg.Socket())
	close(s.ready)
}

func (s *Supervisor) setGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = 0
	select {
	case <-s.ready:
		s.ready = make(chan struct{})
	default: // It never was ready; who waits goes on waiting.
	}
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("putting containerd's old log aside: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening containerd's log: %w", err)
	}
	return file, nil
}
