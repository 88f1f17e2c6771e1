package events

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestCorrelator(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pod := corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "p", UID: "1"}
	at := func(d time.Duration, reason, message string) *fact {
		return &fact{ref: pod, kind: corev1.EventTypeWarning, reason: reason, message: message, at: start.Add(d)}
	}
	// tell judges a fact and remembers what would have been written.
	tell := func(c *correlator, f *fact) outcome {
		o := c.judge(f)
		if !o.drop {
			ev := &corev1.Event{Message: o.message, Count: 1}
			if o.update != nil {
				ev.Count = o.update.Count + 1
			}
			c.same.put(o.key, ev)
		}
		return o
	}
	t.Run("a repetition counts up", func(t *testing.T) {
		c := newCorrelator()
		if o := tell(c, at(0, "BackOff", "again")); o.update != nil {
			t.Fatalf("the first is new, got %+v", o)
		}
		tell(c, at(time.Second, "BackOff", "again"))
		if o := tell(c, at(2*time.Second, "BackOff", "again")); o.update == nil || o.update.Count != 2 {
			t.Fatalf("the third should count up an event told twice, got %+v", o)
		}
		if o := tell(c, at(3*time.Second, "Killing", "again")); o.update != nil {
			t.Fatalf("another reason is another event, got %+v", o)
		}
	})
	t.Run("many similar ones are combined into one", func(t *testing.T) {
		c := newCorrelator()
		var last outcome
		for i := range similarMost + 2 {
			last = tell(c, at(time.Duration(i)*time.Second, "Failed", fmt.Sprint("try ", i)))
		}
		if want := combinedPrefix + "try 11"; last.message != want || last.update == nil {
			t.Fatalf("got %q (update %v), want %q on the combined event", last.message, last.update, want)
		}
		if o := tell(c, at(similarWithin+time.Hour, "Failed", "try 99")); o.message != "try 99" {
			t.Fatalf("a quiet time later the message stands alone again, got %q", o.message)
		}
	})
	t.Run("a flood about one object is dropped until time has passed", func(t *testing.T) {
		c := newCorrelator()
		for range burst {
			if tell(c, at(0, "BackOff", "x")).drop {
				t.Fatal("dropped within the burst")
			}
		}
		if !tell(c, at(time.Second, "BackOff", "x")).drop {
			t.Fatal("the burst is spent")
		}
		if tell(c, at(refill+time.Second, "BackOff", "x")).drop {
			t.Fatal("one more is due")
		}
	})
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := newMemory[int](2)
	m.put("a", 1)
	m.put("b", 2)
	m.put("a", 3)
	m.put("c", 4)
	if _, ok := m.get("a"); ok {
		t.Error("a is the oldest and should be gone")
	}
	m.drop("b")
	m.put("d", 5)
	for _, k := range []string{"c", "d"} {
		if _, ok := m.get(k); !ok {
			t.Errorf("%s should be kept", k)
		}
	}
}
