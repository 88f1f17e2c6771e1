package nodeinit

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 10 * time.Second
	// steadyAfter is how long the agent must have run for its end to count as the first one.
	steadyAfter = 30 * time.Second
	// stopTimeout is how long the agent may take to end when the node is asked to.
	stopTimeout = 30 * time.Second
)

// policy decides when an agent that ended is started again. It knows no clock.
type policy struct{ delay time.Duration }

// next returns how long to wait after a run that lasted ran.
func (p *policy) next(ran time.Duration) time.Duration {
	if p.delay == 0 || ran >= steadyAfter {
		p.delay = firstDelay
	} else {
		p.delay = min(2*p.delay, maxDelay)
	}
	return p.delay
}

// supervisor is the init's loop. Everything happens in one goroutine.
type supervisor struct {
	config  *Config
	log     io.Writer
	signals chan os.Signal

	policy   policy
	agent    *os.Process
	began    time.Time
	restart  <-chan time.Time
	stopping <-chan time.Time
}

// newSupervisor begins to listen for signals, so that one sent as soon as the node is reported ready is not lost.
func newSupervisor(c *Config, log io.Writer) (*supervisor, error) {
	s := &supervisor{config: c, log: log, signals: make(chan os.Signal, 64)}
	signal.Notify(s.signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	return s, s.start()
}

func (s *supervisor) start() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	defer null.Close()
	attr := &os.ProcAttr{Dir: "/", Env: s.config.Environ, Files: []*os.File{null, os.Stdout, os.Stderr}}
	agent, err := os.StartProcess(s.config.Command[0], s.config.Command, attr)
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	s.agent, s.began, s.restart = agent, time.Now(), nil
	return nil
}

// run returns when the node was asked to end and the agent has ended, or took too long.
func (s *supervisor) run() error {
	for {
		select {
		case sig := <-s.signals:
			if done := s.handle(sig); done {
				return nil
			}
		case <-s.restart:
			if err := s.start(); err != nil {
				s.ended(err.Error())
			}
		case <-s.stopping:
			return fmt.Errorf("the agent did not end within %s", stopTimeout)
		}
	}
}

func (s *supervisor) handle(sig os.Signal) (done bool) {
	if sig == unix.SIGCHLD {
		s.reap()
		return s.stopping != nil && s.agent == nil
	}
	if sig == unix.SIGHUP {
		return false // The terminal of whoever started the cluster went away.
	}
	if s.stopping == nil {
		s.stopping = time.After(stopTimeout)
	}
	if s.agent == nil {
		return true
	}
	// An error means that it has just ended; SIGCHLD follows.
	_ = s.agent.Signal(unix.SIGTERM)
	return false
}

// reap collects every child that has ended: the agent and orphans.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if s.agent != nil && pid == s.agent.Pid {
			s.ended(describe(status))
		}
	}
}

func (s *supervisor) ended(how string) {
	s.agent = nil
	if s.stopping != nil {
		return
	}
	delay := s.policy.next(time.Since(s.began))
	fmt.Fprintf(s.log, "coracle-init: the agent ended (%s); starting it again in %s\n", how, delay)
	s.restart = time.After(delay)
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
