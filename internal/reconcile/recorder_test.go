package reconcile

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/client"
)

func told(reason, message string) Event {
	return Event{
		Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "a", UID: "u"},
		Type:      corev1.EventTypeNormal, Reason: reason, Message: message,
	}
}

func TestSameEventCounts(t *testing.T) {
	c := newCorrelator()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	first, _, ok := c.next(told("Made", "x"), "toy", now)
	if !ok || first.Verb != client.Create {
		t.Fatalf("first: %v %v", first, ok)
	}
	again, known, ok := c.next(told("Made", "x"), "toy", now.Add(time.Second))
	if !ok || again.Verb != client.Patch || again.Name != first.Name {
		t.Fatalf("again: %v %v", again, ok)
	}
	if known.event.Count != 2 {
		t.Errorf("count %d, want 2", known.event.Count)
	}
	// The event has expired: it is created anew under the same name, from 1.
	if w := known.create(now); w.Verb != client.Create || w.Object.(*corev1.Event).Count != 1 {
		t.Errorf("anew: %v", w)
	}
}

func TestSimilarEventsBecomeOne(t *testing.T) {
	c := newCorrelator()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	creates, patches := 0, 0
	for i := range 15 {
		w, _, ok := c.next(told("Made", fmt.Sprintf("pod %d", i)), "toy", now)
		switch {
		case !ok:
			t.Fatalf("event %d was dropped", i)
		case w.Verb == client.Create:
			creates++
		default:
			patches++
		}
	}
	if creates != similarMost || patches != 15-similarMost {
		t.Errorf("%d creates and %d patches; want %d and %d", creates, patches, similarMost, 15-similarMost)
	}
	if w, _, _ := c.next(told("Made", "pod 99"), "toy", now.Add(similarWithin+time.Second)); w.Verb != client.Create {
		t.Error("texts from long ago still count")
	}
}

func TestTooManyEventsAreCutOff(t *testing.T) {
	c := newCorrelator()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	written := 0
	for range 40 {
		if _, _, ok := c.next(told("Made", "x"), "toy", now); ok {
			written++
		}
	}
	if written != spamBurst {
		t.Errorf("%d of 40 were written, want %d", written, spamBurst)
	}
	if _, _, ok := c.next(told("Made", "x"), "toy", now.Add(spamRefill)); !ok {
		t.Error("nothing is written after the pause")
	}
}

func TestBackoff(t *testing.T) {
	for _, tc := range []struct {
		n      int
		random float64
		want   time.Duration
	}{
		{1, 0, 10 * time.Millisecond}, {2, 0, 20 * time.Millisecond}, {1, 1, 5 * time.Millisecond},
		{15, 0, 163840 * time.Millisecond}, {16, 0, 5 * time.Minute}, {1 << 20, 0, 5 * time.Minute},
	} {
		if got := backoff(tc.n, tc.random); got != tc.want {
			t.Errorf("after %d failures with %v: %v, want %v", tc.n, tc.random, got, tc.want)
		}
	}
}
