package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Second)
		begun := time.Now()
		inside := 0
		entered := make(chan time.Duration, 10)
		enter := func(work time.Duration) {
			go func() {
				leave, err := g.enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				entered <- time.Since(begun)
				time.Sleep(work)
				leave()
				leave() // twice is once
			}()
			synctest.Wait()
		}
		want := func(at time.Duration) {
			t.Helper()
			inside++
			if got := <-entered; got != at {
				t.Errorf("number %d entered after %v, want %v", inside, got, at)
			}
		}
		enter(300 * time.Millisecond)
		enter(time.Minute) // waits for something
		enter(100 * time.Millisecond)
		enter(time.Minute)
		enter(time.Millisecond)
		want(0)
		want(0)
		want(300 * time.Millisecond)
		want(400 * time.Millisecond)
		want(time.Second) // the first that waits is no longer counted
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		enter(10 * time.Millisecond)
		enter(10 * time.Millisecond)
		go func() {
			_, err := g.enter(ctx)
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if len(g.places) > 0 {
			t.Errorf("%d places are still taken", len(g.places))
		}
	})
}
