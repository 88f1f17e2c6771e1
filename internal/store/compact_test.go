package store

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCompactionKeepsAnInterval(t *testing.T) {
	bubble(t, Options{CompactInterval: 5 * time.Minute}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		first := commit(t, s, create(pods+"x", "1"))
		time.Sleep(5*time.Minute + time.Second) // in the bubble: the first round only looks
		synctest.Wait()
		if s.Compacted() != 0 || len(f.compactAt) != 0 {
			t.Errorf("compacted %d, %v in the first round", s.Compacted(), f.compactAt)
		}
		second := commit(t, s, put(pods+"x", "2"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		// The round's own write came after the first.
		if want := []int64{first + 1}; !slices.Equal(f.compactAt, want) || s.Compacted() != first {
			t.Errorf("compacted %d, %v, want %v", s.Compacted(), f.compactAt, want)
		}
		if _, err := c.At(t.Context(), first); !errors.Is(err, ErrCompacted) {
			t.Errorf("at the compacted revision: %v", err)
		}
		if s, err := c.At(t.Context(), first+1); err != nil || show(s, pods, "") != "/registry/pods/x=1@2" {
			t.Errorf("at the oldest revision kept: %v", err)
		}
		if _, err := c.At(t.Context(), second); err != nil {
			t.Errorf("at %d: %v", second, err)
		}
	})
}

// TestServersTakeTurns: of two servers with one etcd, one compacts per interval, and both know.
func TestServersTakeTurns(t *testing.T) {
	bubble(t, Options{CompactInterval: 5 * time.Minute}, func(t *testing.T, s *Etcd, f *fake) {
		time.Sleep(time.Minute)
		second, err := open(t.Context(), f, Options{CompactInterval: 5 * time.Minute})
		other := start(t, second, err)
		collect(t, s, pods)
		for range 6 {
			commit(t, s, put(pods+"x", "1"))
			time.Sleep(5 * time.Minute)
		}
		synctest.Wait()
		if n := len(f.compactAt); n != 5 {
			t.Errorf("%d compactions in 6 intervals: %v", n, f.compactAt)
		}
		if !slices.IsSorted(f.compactAt) || s.Compacted() == 0 || other.Compacted() != s.Compacted() {
			t.Errorf("compacted %v, known as %d and %d", f.compactAt, s.Compacted(), other.Compacted())
		}
	})
}

func TestCompactionOfEtcd(t *testing.T) {
	s := openReal(t, Options{CompactInterval: -1, HistoryEvents: 1})
	c := collect(t, s, pods)
	first := commit(t, s, create(pods+"x", "1"))
	var last turn
	for range 3 {
		commit(t, s, put(pods+"x", "2"))
		commit(t, s, put(pods+"x", "3"))
		next, err := s.compactTurn(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		last = next
	}
	if _, err := c.At(t.Context(), first); !errors.Is(err, ErrCompacted) {
		t.Errorf("store: %v", err)
	}
	if _, err := s.backend.list(t.Context(), pods, "", first, 1); !errors.Is(err, ErrCompacted) {
		t.Errorf("etcd: %v", err)
	}
	oldest, err := c.At(t.Context(), s.Compacted()+1)
	if err != nil || show(oldest, pods, "") == "" {
		t.Errorf("oldest: %v", err)
	}
	if _, err := s.backend.watch(t.Context(), pods, first).next(t.Context()); !errors.Is(err, ErrCompacted) {
		t.Errorf("watch: %v", err)
	}
	if _, err := s.Current(t.Context()); err != nil { // past the turn key's own revision
		t.Error(err)
	}
	// Another server that comes new learns what is gone.
	next, err := s.backend.takeTurn(t.Context(), 0, 0)
	if err != nil || next.won || next.version != 3 || next.compacted != s.Compacted()+1 {
		t.Errorf("got %+v, %v, want compacted %d", next, err, s.Compacted()+1)
	}
}
