package probe

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// TestTimesOfTries runs one probe of a container that starts to listen after a while, in virtual time.
func TestTimesOfTries(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    Kind
		spec    v1.Probe
		healthy time.Duration // from then on tries succeed
		until   time.Duration
		tries   string
		events  int
		result  pod.Result
	}{
		{
			name: "liveness leaves a period to the start", kind: Liveness,
			spec: v1.Probe{PeriodSeconds: 10, FailureThreshold: 3}, healthy: time.Second, until: 25 * time.Second,
			tries: "10s 20s", result: pod.Success,
		},
		{
			name: "liveness after a longer initial delay", kind: Liveness,
			spec: v1.Probe{PeriodSeconds: 2, InitialDelaySeconds: 5, FailureThreshold: 3}, until: 8 * time.Second,
			tries: "5s 7s", healthy: time.Second, result: pod.Success,
		},
		{
			name: "an initial delay shorter than the period adds nothing", kind: Liveness,
			spec: v1.Probe{PeriodSeconds: 5, InitialDelaySeconds: 2, FailureThreshold: 1}, healthy: time.Hour, until: time.Minute,
			tries: "5s", events: 1, result: pod.Failure,
		},
		{
			name: "startup leaves a period to the start", kind: Startup,
			spec: v1.Probe{PeriodSeconds: 1, FailureThreshold: 30}, healthy: 1500 * time.Millisecond, until: time.Minute,
			tries: "1s 2s", events: 1, result: pod.Success,
		},
		{
			name: "readiness of what listens at once", kind: Readiness,
			spec: v1.Probe{PeriodSeconds: 10, FailureThreshold: 3}, until: 25 * time.Second,
			tries: "0s 10s 20s", result: pod.Success,
		},
		{
			name: "readiness of what listens soon", kind: Readiness,
			spec: v1.Probe{PeriodSeconds: 10, FailureThreshold: 3}, healthy: 100 * time.Millisecond, until: 15 * time.Second,
			tries: "0s 25ms 75ms 175ms 10.175s", result: pod.Success,
		},
		{
			name: "early readiness begins after the initial delay", kind: Readiness,
			spec:    v1.Probe{PeriodSeconds: 10, InitialDelaySeconds: 3, FailureThreshold: 3},
			healthy: 3100 * time.Millisecond, until: 5 * time.Second,
			tries: "3s 3.025s 3.075s 3.175s", result: pod.Success,
		},
		{
			name: "failures count and are told once a period has passed", kind: Readiness,
			spec: v1.Probe{PeriodSeconds: 1, FailureThreshold: 2}, healthy: time.Hour, until: 4 * time.Second,
			tries: "0s 25ms 75ms 175ms 375ms 775ms 1.575s 2.575s 3.575s", events: 3, result: pod.Failure,
		},
		{
			name: "two successes are a period apart", kind: Readiness,
			spec: v1.Probe{PeriodSeconds: 4, SuccessThreshold: 2}, healthy: 20 * time.Millisecond, until: 5 * time.Second,
			tries: "0s 25ms 4.025s", result: pod.Success,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var tries []string
				events := 0
				set := New(Config{
					Exec: func(context.Context, string, []string, time.Duration) (int32, string, error) {
						tries = append(tries, time.Since(begun).String())
						if time.Since(begun) < c.healthy {
							return 1, "no", nil
						}
						return 0, "", nil
					},
					Now: time.Now, Rand: func() float64 { return 0.5 }, Changed: func() {},
					Event: func(string, string, string, string) { events++ },
				})
				container := &v1.Container{Name: "main"}
				spec := command("try", c.spec)
				result := func() pod.Result {
					got := set.Results()["c1"]
					return map[Kind]pod.Result{Startup: got.Startup, Liveness: got.Liveness, Readiness: got.Readiness}[c.kind]
				}
				switch c.kind {
				case Startup:
					container.StartupProbe = spec
				case Liveness:
					container.LivenessProbe = spec
				case Readiness:
					container.ReadinessProbe = spec
				}
				ctx, cancel := context.WithCancel(t.Context())
				set.Update(ctx, []Target{{ID: "c1", Container: container, Started: begun}}, false)
				time.Sleep(c.until)
				synctest.Wait()
				if got := strings.Join(tries, " "); got != c.tries {
					t.Errorf("tries at %s, want %s", got, c.tries)
				}
				if events != c.events {
					t.Errorf("%d events, want %d", events, c.events)
				}
				if got := result(); got != c.result {
					t.Errorf("result %v, want %v", got, c.result)
				}
				cancel()
			})
		})
	}
}

// TestReadinessLostAndWonAgain holds that after the first success only the period counts.
func TestReadinessLostAndWonAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := &v1.Container{Name: "main", ReadinessProbe: command("ready", v1.Probe{PeriodSeconds: 5, FailureThreshold: 1})}
		r.set.Update(ctx, []Target{{ID: "c1", Container: c, Started: time.Now()}}, false)
		time.Sleep(time.Second)
		r.mu.Lock()
		r.failing["ready"] = true
		r.mu.Unlock()
		time.Sleep(5 * time.Second)
		if got := r.set.Results()["c1"].Readiness; got != pod.Failure {
			t.Errorf("result %v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if want := []string{"0s ready", "5s ready", "10s ready"}; !slices.Equal(r.tries(), want) {
			t.Errorf("tries %q, want %q", r.tries(), want)
		}
	})
}

// TestFailuresOfAnEndingPodAreNoNews holds that a pod that stops listening as it was told to is not called unhealthy.
func TestFailuresOfAnEndingPodAreNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		events := 0
		r.set.cfg.Event = func(string, string, string, string) { events++ }
		c := &v1.Container{Name: "main", ReadinessProbe: command("ready", v1.Probe{PeriodSeconds: 1, FailureThreshold: 1})}
		targets := []Target{{ID: "c1", Container: c, Started: time.Now()}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r.set.Update(ctx, targets, false)
		time.Sleep(1500 * time.Millisecond)
		r.set.Update(ctx, targets, true)
		r.mu.Lock()
		r.failing["ready"] = true
		r.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := r.set.Results()["c1"].Readiness; got != pod.Failure || events > 0 {
			t.Errorf("result %v, %d events", got, events)
		}
	})
}

// TestTriesThatCannotBeMadeSayNothing holds that a runtime that is away makes no container unhealthy.
func TestTriesThatCannotBeMadeSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		var events atomic.Int32
		set := New(Config{
			Exec: func(context.Context, string, []string, time.Duration) (int32, string, error) {
				if away.Load() {
					return 0, "", errors.New("no runtime")
				}
				return 0, "", nil
			},
			Now: time.Now, Rand: func() float64 { return 0.5 }, Changed: func() {},
			Event: func(string, string, string, string) { events.Add(1) },
		})
		c := &v1.Container{
			Name:           "main",
			LivenessProbe:  command("live", v1.Probe{PeriodSeconds: 1, FailureThreshold: 1}),
			ReadinessProbe: command("ready", v1.Probe{PeriodSeconds: 1, FailureThreshold: 1}),
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		set.Update(ctx, []Target{{ID: "c1", Container: c, Started: time.Now()}}, false)
		time.Sleep(1500 * time.Millisecond)
		away.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got := set.Results()["c1"]
		if got.Liveness != pod.Success || got.Readiness != pod.Success {
			t.Errorf("results %+v", got)
		}
		if got := events.Load(); got != 6 {
			t.Errorf("%d events, want one a try", got)
		}
	})
}
