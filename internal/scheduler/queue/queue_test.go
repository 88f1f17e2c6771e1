package queue

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/scheduler/core"
)

func pod(name string, priority int32) *core.Pod {
	return core.NewPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Priority: &priority},
	})
}

func next(t *testing.T, q *Queue, now time.Time) string {
	t.Helper()
	it, _ := q.Next(now)
	if it == nil {
		return ""
	}
	return it.Pod.Name
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func all(*core.Pod, map[string]bool) bool { return true }

func TestOrder(t *testing.T) {
	q := New()
	q.Add(pod("old", 0), false, start)
	q.Add(pod("young", 0), false, start.Add(time.Second))
	q.Add(pod("important", 10), false, start.Add(2*time.Second))
	for _, want := range []string{"important", "old", "young", ""} {
		if got := next(t, q, start.Add(time.Minute)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestParkedPodsWaitForHelp(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), false, start)
	next(t, q, start)
	q.Park("p", map[string]bool{"NodeAffinity": true}, start)
	if it, wait := q.Next(start.Add(time.Minute)); it != nil || wait != ParkedAtMost-time.Minute {
		t.Fatalf("parked pod handed out, or wrong wait %v", wait)
	}
	q.Wake(func(_ *core.Pod, by map[string]bool) bool { return by["NodePorts"] }, start.Add(time.Minute))
	if got := next(t, q, start.Add(time.Minute)); got != "" {
		t.Fatalf("an event that can't help woke %q", got)
	}
	q.Wake(all, start.Add(time.Minute))
	if got := next(t, q, start.Add(time.Minute)); got != "p" {
		t.Fatal("an event that can help did not wake the pod")
	}
	q.Park("p", nil, start.Add(time.Minute))
	if got := next(t, q, start.Add(time.Minute+ParkedAtMost)); got != "p" {
		t.Fatal("the time limit did not wake the pod")
	}
}

func TestBackoffDoublesAndHoldsWokenPods(t *testing.T) {
	q, now := New(), start
	q.Add(pod("p", 0), false, now)
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := next(t, q, now); got != "p" {
			t.Fatalf("not handed out after its back-off")
		}
		q.Park("p", nil, now)
		q.Wake(all, now)
		it, wait := q.Next(now)
		if it != nil || wait != want*time.Second {
			t.Fatalf("wait %v, want %v", wait, want*time.Second)
		}
		now = now.Add(wait)
	}
}

func TestEventDuringAttemptIsNotLost(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), false, start)
	next(t, q, start)
	q.Wake(all, start) // a node came while the pod was being judged without it
	q.Park("p", map[string]bool{"NodeResourcesFit": true}, start)
	if it, wait := q.Next(start); it != nil || wait != FirstBackoff {
		t.Fatalf("want a rest of %v, got %v", FirstBackoff, wait)
	}
}

func TestRemoveInEveryState(t *testing.T) {
	for name, prepare := range map[string]func(*Queue){
		"ready":   func(*Queue) {},
		"out":     func(q *Queue) { q.Next(start) },
		"resting": func(q *Queue) { q.Next(start); q.Failed("p", start) },
		"parked":  func(q *Queue) { q.Next(start); q.Park("p", nil, start) },
	} {
		t.Run(name, func(t *testing.T) {
			q := New()
			q.Add(pod("p", 0), false, start)
			prepare(q)
			q.Remove("p")
			q.Failed("p", start)
			q.Park("p", nil, start)
			if it, wait := q.Next(start.Add(time.Hour)); it != nil || wait != 0 || q.Holds("p") {
				t.Fatalf("something is left: %v %v", it, wait)
			}
		})
	}
}

func TestRetryWakesOnlyTheParked(t *testing.T) {
	now := time.Unix(0, 0)
	q := New()
	q.Add(pod("a", 0), false, now)
	q.Add(pod("b", 0), false, now)
	it, _ := q.Next(now)
	q.Park(it.Pod.UID, nil, now)
	q.Retry("unknown", now)
	q.Retry("b", now) // ready already
	q.Retry(it.Pod.UID, now.Add(FirstBackoff))
	if ready, resting, parked := q.Len(); ready != 2 || resting != 0 || parked != 0 {
		t.Errorf("%d ready, %d resting, %d parked", ready, resting, parked)
	}
}
