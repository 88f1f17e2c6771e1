package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/handler"
	"coracle.dev/coracle/internal/node/pod"
)

// Target is a running container to be probed.
type Target struct {
	ID        string
	Container *v1.Container
	IP        string
	Started   time.Time
	// Before is what was known when the agent took a container over that ran already; the zero value for a new one.
	Before pod.Probes
}

// Config of a Set.
type Config struct {
	Exec handler.Exec
	// Changed is called after a result changed.
	Changed func()
	// Event records a fact about the container: kind, reason, message.
	Event func(container string, kind, reason, message string)
	Now   func() time.Time
	// Rand returns a number in [0, 1): probes of containers that were taken over don't start all at once.
	Rand func() float64
}

// Set is the probes of one pod. Safe for concurrent use.
type Set struct {
	cfg Config
	mu  sync.Mutex
	of  map[string]*probed
	// ending: the pod's containers are being stopped, so that failing probes are no news.
	ending bool
}

// probed is one container under probes.
type probed struct {
	results pod.Probes
	stop    context.CancelFunc
	// began is closed when the container has passed its startup probe.
	began     chan struct{}
	beganOnce sync.Once
}

// New returns an empty set.
func New(cfg Config) *Set { return &Set{cfg: cfg, of: map[string]*probed{}} }

// Results returns the newest results by container ID.
func (s *Set) Results() map[string]pod.Probes {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]pod.Probes, len(s.of))
	for id, p := range s.of {
		out[id] = p.results
	}
	return out
}

// Update begins to probe what is new and stops what is not among the targets. The probes end with ctx. Of a pod that is ending
// nothing new is probed, and failures are no longer recorded.
func (s *Set) Update(ctx context.Context, targets []Target, ending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = ending
	wanted := make(map[string]bool, len(targets))
	for _, t := range targets {
		wanted[t.ID] = true
		if s.of[t.ID] == nil && !ending {
			s.begin(ctx, t)
		}
	}
	for id, p := range s.of {
		if !wanted[id] {
			p.stop()
			delete(s.of, id)
		}
	}
}

// begin starts the loops of one container. The caller holds mu.
func (s *Set) begin(ctx context.Context, t Target) {
	c := t.Container
	if c.StartupProbe == nil && c.LivenessProbe == nil && c.ReadinessProbe == nil {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	p := &probed{results: t.Before, stop: stop, began: make(chan struct{})}
	s.of[t.ID] = p
	if c.StartupProbe == nil || t.Before.Startup == pod.Success {
		p.start()
	} else {
		go s.loop(ctx, t, p, Startup, c.StartupProbe)
	}
	if c.LivenessProbe != nil {
		go s.loop(ctx, t, p, Liveness, c.LivenessProbe)
	}
	if c.ReadinessProbe != nil {
		go s.loop(ctx, t, p, Readiness, c.ReadinessProbe)
	}
}

func (p *probed) start() { p.beganOnce.Do(func() { close(p.began) }) }

func (p *probed) result(k Kind) *pod.Result {
	switch k {
	case Startup:
		return &p.results.Startup
	case Liveness:
		return &p.results.Liveness
	default:
		return &p.results.Readiness
	}
}

// loop probes until ctx ends, a startup probe passed, or a liveness or startup probe failed: the container's end follows.
func (s *Set) loop(ctx context.Context, t Target, p *probed, kind Kind, spec *v1.Probe) {
	if kind != Startup {
		select {
		case <-p.began:
		case <-ctx.Done():
			return
		}
	}
	s.mu.Lock()
	count := counter{result: *p.result(kind)}
	s.mu.Unlock()
	now := s.cfg.Now()
	timing := newTiming(kind, spec, t, now, s.cfg.Rand)
	timer := time.NewTimer(timing.first.Sub(now))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := s.cfg.Now()
		early := timing.early(begun)
		outcome, fact := s.once(ctx, t, kind, spec)
		if ctx.Err() != nil {
			return
		}
		s.tell(t, fact, early)
		now = s.cfg.Now()
		timer.Reset(timing.next(begun, now, outcome).Sub(now))
		if (early && outcome == pod.Failure) || outcome == pod.Untested || !count.try(spec, outcome) {
			continue
		}
		s.mu.Lock()
		*p.result(kind) = count.result
		s.mu.Unlock()
		if kind == Startup && count.result == pod.Success {
			p.start()
		}
		s.cfg.Changed()
		if kind == Startup || (kind == Liveness && count.result == pod.Failure) {
			return
		}
	}
}

// fact is what a person should know of one try; the zero value is nothing.
type fact struct {
	reason, message string
	failure         bool
}

// once performs one try. It is Untested when the try itself could not be made, for instance because the runtime is away: that
// says nothing about the container.
func (s *Set) once(ctx context.Context, t Target, kind Kind, spec *v1.Probe) (pod.Result, fact) {
	timeout := time.Duration(max(spec.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result, message, err := s.try(ctx, t, spec, timeout)
	switch {
	case err != nil:
		return pod.Untested, fact{"Unhealthy", fmt.Sprintf("%s probe errored and resulted in unknown state: %v", kind, err), true}
	case result == pod.Failure:
		return result, fact{"Unhealthy", fmt.Sprintf("%s probe failed: %s", kind, message), true}
	case message != "":
		return result, fact{"ProbeWarning", fmt.Sprintf("%s probe warning: %s", kind, message), false}
	}
	return result, fact{}
}

// tell records the fact as an event, unless it is a failure that was to be expected.
func (s *Set) tell(t Target, f fact, early bool) {
	s.mu.Lock()
	expected := early || s.ending
	s.mu.Unlock()
	if f == (fact{}) || (f.failure && expected) {
		return
	}
	s.cfg.Event(t.Container.Name, v1.EventTypeWarning, f.reason, f.message)
}

// try performs one try. For a success the message is a warning, else it says why it failed.
func (s *Set) try(ctx context.Context, t Target, spec *v1.Probe, timeout time.Duration) (pod.Result, string, error) {
	switch {
	case spec.Exec != nil:
		code, out, err := s.cfg.Exec(ctx, t.ID, spec.Exec.Command, timeout)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			command := strings.Join(spec.Exec.Command, " ")
			return pod.Failure, fmt.Sprintf("command timed out: %q timed out after %v", command, timeout), nil
		case err != nil:
			return pod.Failure, "", err
		case code != 0:
			return pod.Failure, out, nil
		}
	case spec.HTTPGet != nil:
		resp, err := handler.HTTP(ctx, t.Container, t.IP, spec.HTTPGet)
		switch {
		case err != nil:
			return pod.Failure, err.Error(), nil
		case resp.Redirected:
			return pod.Success, fmt.Sprintf("Probe terminated redirects, Response body: %v", resp.Body), nil
		case resp.Code < http.StatusOK || resp.Code >= http.StatusBadRequest:
			return pod.Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.Code), nil
		}
	case spec.TCPSocket != nil:
		if err := handler.TCP(ctx, t.Container, t.IP, spec.TCPSocket); err != nil {
			return pod.Failure, err.Error(), nil
		}
	case spec.GRPC != nil:
		if healthy, message := handler.GRPC(ctx, t.IP, spec.GRPC); !healthy {
			return pod.Failure, message, nil
		}
	default:
		return pod.Failure, "", fmt.Errorf("missing probe handler for container %s", t.Container.Name)
	}
	return pod.Success, "", nil
}
