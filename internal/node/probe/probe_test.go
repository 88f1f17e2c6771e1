package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

func TestCounter(t *testing.T) {
	spec := &v1.Probe{SuccessThreshold: 2, FailureThreshold: 3}
	for _, c := range []struct{ tries, changes string }{
		{"s", "."},
		{"ss", ".S"},
		{"sss", ".S."},
		{"ssfff", ".S..F"},
		{"ssffsfff", ".S.....F"},
		{"fff", "..F"},
	} {
		var count counter
		got := ""
		for _, r := range c.tries {
			result := map[rune]pod.Result{'s': pod.Success, 'f': pod.Failure}[r]
			switch {
			case !count.try(spec, result):
				got += "."
			case count.result == pod.Success:
				got += "S"
			default:
				got += "F"
			}
		}
		if got != c.changes {
			t.Errorf("%s: got %s, want %s", c.tries, got, c.changes)
		}
	}
}

// recorder is a Set whose exec probes answer as told, with a log of tries and results.
type recorder struct {
	mu      sync.Mutex
	begun   time.Time
	log     []string
	failing map[string]bool
	set     *Set
}

func (r *recorder) exec(_ context.Context, _ string, command []string, _ time.Duration) (int32, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf("%v %s", time.Since(r.begun), command[0]))
	if r.failing[command[0]] {
		return 1, "no", nil
	}
	return 0, "", nil
}

func newRecorder() *recorder {
	r := &recorder{begun: time.Now(), failing: map[string]bool{}}
	r.set = New(Config{
		Exec: r.exec, Now: time.Now, Rand: func() float64 { return 0.5 }, Changed: func() {},
		Event: func(string, string, string, string) {},
	})
	return r
}

func (r *recorder) tries() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func command(name string, p v1.Probe) *v1.Probe {
	p.Exec = &v1.ExecAction{Command: []string{name}}
	return &p
}

func TestOrderOfProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.failing["startup"] = true
		c := &v1.Container{
			Name:           "main",
			StartupProbe:   command("startup", v1.Probe{PeriodSeconds: 1, FailureThreshold: 30}),
			LivenessProbe:  command("live", v1.Probe{PeriodSeconds: 4, FailureThreshold: 2}),
			ReadinessProbe: command("ready", v1.Probe{PeriodSeconds: 5, InitialDelaySeconds: 4, FailureThreshold: 1}),
		}
		r.set.Update(t.Context(), []Target{{ID: "c1", Container: c, Started: time.Now()}}, false)
		time.Sleep(2500 * time.Millisecond)
		if got := r.set.Results()["c1"]; got != (pod.Probes{}) {
			t.Errorf("results before anything passed: %+v", got)
		}
		r.mu.Lock()
		for _, line := range r.log {
			if line[len(line)-7:] != "startup" {
				t.Errorf("probed before the container began: %s", line)
			}
		}
		r.failing["startup"] = false
		r.mu.Unlock()
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		want := pod.Probes{Startup: pod.Success, Liveness: pod.Success, Readiness: pod.Success}
		if got := r.set.Results()["c1"]; got != want {
			t.Errorf("results %+v; tries %q", got, r.tries())
		}
		r.mu.Lock()
		r.failing["live"] = true
		tries := len(r.log)
		r.mu.Unlock()
		time.Sleep(20 * time.Second)
		if got := r.set.Results()["c1"]; got.Liveness != pod.Failure || got.Readiness != pod.Success {
			t.Errorf("results %+v; tries %q", got, r.tries()[tries:])
		}
		r.set.Update(t.Context(), nil, false)
		synctest.Wait()
		if len(r.set.Results()) > 0 {
			t.Error("results of a container that is gone remain")
		}
	})
}

func TestTakenOverContainersKeepTheirResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		ctx, cancel := context.WithCancel(t.Context())
		c := &v1.Container{Name: "main", ReadinessProbe: command("ready", v1.Probe{PeriodSeconds: 10})}
		before := pod.Probes{Startup: pod.Success, Readiness: pod.Success}
		r.set.Update(ctx, []Target{{ID: "c1", Container: c, Started: time.Now().Add(-time.Hour), Before: before}}, false)
		if got := r.set.Results()["c1"]; got.Readiness != pod.Success {
			t.Errorf("results %+v", got)
		}
		time.Sleep(4 * time.Second)
		if got := r.tries(); len(got) > 0 {
			t.Errorf("probed at once: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := r.tries(); len(got) != 1 {
			t.Errorf("tries %q", got)
		}
		cancel()
	})
}
