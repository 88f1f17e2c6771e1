package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test on a fake backend, with time that passes when everybody waits.
func bubble(t *testing.T, o Options, test func(t *testing.T, s *Etcd, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		if o.CompactInterval == 0 {
			o.CompactInterval = -1
		}
		s, err := open(t.Context(), f, o)
		test(t, start(t, s, err), f)
	})
}

func TestResumeAfterBrokenWatch(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		stream, err := c.Follow(t.Context(), pods, s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		commit(t, s, create(pods+"a/x", "1"))
		f.breakWatches()
		commit(t, s, put(pods+"a/x", "2"))
		var events []Event
		for len(events) < 2 {
			events = append(events, next(t, stream)...)
		}
		if got, want := showEvents(events), "C /registry/pods/a/x=1@2 U /registry/pods/a/x=2@3"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if f.watches != 2 {
			t.Errorf("%d watches", f.watches)
		}
	})
}

// behind changes things while the feed is not looking and compacts them away.
func behind(f *fake, changes ...change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken++
	for _, c := range changes {
		c.revision = f.newest() + 1
		f.add(batch{revision: c.revision, changes: []change{c}})
	}
	f.compacted = f.newest()
}

func set(key, value string) change { return change{keyValue: keyValue{key: key, value: []byte(value)}} }
func gone(key string) change       { return change{keyValue: keyValue{key: key}, deleted: true} }

func TestReloadAfterCompaction(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		at := commit(t, s,
			create(pods+"gone", "l:1"), create(pods+"kept", "l:1"), create(pods+"changed", "l:1"), create(pods+"again", "1"))
		stream, err := c.Follow(t.Context(), pods, at)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		behind(f, gone(pods+"gone"), set(pods+"changed", "m:2"), set(pods+"changed", "m:3"), set(pods+"new", "l:4"),
			gone(pods+"again"), set(pods+"again", "l:5"), set("/registry/other/x", "6"))
		if err := s.WaitFor(t.Context(), at+7); err != nil {
			t.Fatal(err)
		}
		want := "U /registry/pods/changed=m:3@5 C /registry/pods/new=l:4@6 U /registry/pods/again=l:5@8 D /registry/pods/gone=l:1@9"
		if got := showEvents(next(t, stream)); got != want {
			t.Errorf("events: got %s, want %s", got, want)
		}
		want = "/registry/pods/again=l:5@8 /registry/pods/changed=m:3@5 /registry/pods/kept=l:1@2 /registry/pods/new=l:4@6"
		if got := show(c.Snapshot(), pods, ""); got != want {
			t.Errorf("state: got %s, want %s", got, want)
		}
		var labelled []string
		for e := range c.Snapshot().Index("label", "l") {
			labelled = append(labelled, strings.TrimPrefix(e.Key, pods))
		}
		if got := strings.Join(labelled, " "); got != "again kept new" {
			t.Errorf("index: got %s", got)
		}
		// What was in the gap cannot be derived from the events.
		if _, err := c.At(t.Context(), at+2); !errors.Is(err, ErrCompacted) {
			t.Errorf("state in the gap: %v", err)
		}
		if revision := commit(t, s, remove(pods+"new")); revision != at+8 {
			t.Errorf("committed at %d", revision)
		}
	})
}

func TestFollowerFallsBehind(t *testing.T) {
	bubble(t, Options{HistoryEvents: 4}, func(t *testing.T, s *Etcd, _ *fake) {
		c := collect(t, s, pods)
		begin := commit(t, s, create(pods+"x", "0"))
		slow, err := c.Follow(t.Context(), pods, begin)
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		for i := range 5 {
			commit(t, s, put(pods+"x", fmt.Sprint(i)))
		}
		if _, err := slow.Next(t.Context()); !errors.Is(err, ErrCompacted) {
			t.Errorf("slow reader: %v", err)
		}
		if _, err := c.Follow(t.Context(), pods, begin); !errors.Is(err, ErrCompacted) {
			t.Errorf("late reader: %v", err)
		}
		if _, err := c.Follow(t.Context(), pods, begin+1); err != nil {
			t.Errorf("reader in time: %v", err)
		}
		// The state before the window comes from etcd.
		if old, err := c.At(t.Context(), begin); err != nil || show(old, pods, "") != "/registry/pods/x=0@2" {
			t.Errorf("state before the window: %v", err)
		}
	})
}

func TestHistoryBytes(t *testing.T) {
	bubble(t, Options{HistoryBytes: 100_000}, func(t *testing.T, s *Etcd, _ *fake) {
		c := collect(t, s, pods)
		collect(t, s, "/registry/quiet/")
		quiet := commit(t, s, create("/registry/quiet/x", "1"))
		for range 200 {
			commit(t, s, put(pods+"x", strings.Repeat("x", 1000)))
		}
		if got := s.Stats().HistoryBytes; got > 100_000 || got < 50_000 {
			t.Errorf("history takes %d bytes", got)
		}
		if _, err := c.Follow(t.Context(), pods, quiet); !errors.Is(err, ErrCompacted) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAtFuture(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		at := commit(t, s, create(pods+"x", "1"))
		if _, err := c.At(t.Context(), at+1); !errors.Is(err, ErrFuture) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Follow(t.Context(), pods, at+1); !errors.Is(err, ErrFuture) {
			t.Errorf("got %v", err)
		}
		// In time, by a revision that changes nothing here.
		time.AfterFunc(time.Second, func() { f.elsewhere() })
		if s, err := c.At(t.Context(), at+1); err != nil || s.Revision() != at+1 {
			t.Errorf("got %v", err)
		}
	})
}

// TestProgressIsAskedFor: a consistent read must not wait for ever for a revision that brings no event, and a write that
// brings its own must not cost a request.
func TestProgressIsAskedFor(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		commit(t, s, create(pods+"x", "1"))
		if f.progress != 0 {
			t.Errorf("%d requests for progress after a write", f.progress)
		}
		stream, err := c.Follow(t.Context(), pods, s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		want := f.elsewhere()
		if got, err := s.Current(t.Context()); err != nil || got != want || f.progress != 1 {
			t.Errorf("got %d, %v after %d requests, want %d", got, err, f.progress, want)
		}
		if got := stream.Progress(); got != want {
			t.Errorf("stream progressed to %d, want %d", got, want)
		}
	})
}

func TestLoadInPages(t *testing.T) {
	f := newFake()
	b := batch{revision: 2}
	for i := range 2*pageKeys + 1 {
		b.changes = append(b.changes, change{keyValue: keyValue{key: fmt.Sprintf("%s%05d", pods, i), revision: 2}})
	}
	f.add(b)
	s, err := open(t.Context(), f, Options{HistoryEvents: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(t, s, pods).Snapshot().Len(pods); got != 2*pageKeys+1 {
		t.Errorf("loaded %d keys", got)
	}
}

// TestRestart: who followed the store before a restart goes on after it.
func TestRestart(t *testing.T) {
	for name, test := range map[string]struct {
		history   int
		compacted int64 // negative when the turn key says so
		want      error
	}{
		"replayed":                        {100, 0, nil},
		"window too small":                {2, 0, ErrCompacted},
		"compacted before":                {100, -3, nil},
		"compacted since":                 {100, -4, ErrCompacted},
		"everything but the newest state": {100, -6, ErrCompacted},
		"compacted by an unknown hand":    {100, 2, ErrCompacted},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			for i := range 5 {
				c := set(pods+"x", fmt.Sprint(i))
				c.revision = f.newest() + 1
				f.add(batch{revision: c.revision, changes: []change{c}})
			}
			if f.compacted = test.compacted; f.compacted < 0 {
				f.compacted, f.turns, f.turnValue = -f.compacted, 1, -f.compacted
			}
			s, err := open(t.Context(), f, Options{HistoryEvents: test.history})
			if err != nil {
				t.Fatal(err)
			}
			c := collect(t, s, pods)
			if got := show(c.Snapshot(), pods, ""); got != "/registry/pods/x=4@6" {
				t.Errorf("loaded %s", got)
			}
			stream, err := c.Follow(t.Context(), pods, 3)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil {
				return
			}
			defer stream.Close()
			want := "U /registry/pods/x=2@4 U /registry/pods/x=3@5 U /registry/pods/x=4@6"
			if got := showEvents(next(t, stream)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	f := newFake()
	s, err := open(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := collect(t, s, pods)
	stream, err := c.Follow(t.Context(), pods, s.Revision())
	if err != nil {
		t.Fatal(err)
	}
	close(f.dead)
	if err := s.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("run with a dead backend: %v", err)
	}
	if _, err := stream.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("next: %v", err)
	}
	if err := s.WaitFor(t.Context(), 100); !errors.Is(err, ErrClosed) {
		t.Errorf("wait: %v", err)
	}
	// What was written cannot be seen any more; that it was written is not known to the caller.
	if _, err := s.Commit(t.Context(), create(pods+"x", "1")); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("commit: %v", err)
	}
}

func TestClosedStream(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		stream, err := collect(t, s, pods).Follow(t.Context(), pods, s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, stream.Close)
		if _, err := stream.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		stream.Close() // twice is once
		if n := s.Stats().Streams; n != 0 {
			t.Errorf("%d streams open", n)
		}
	})
}

func TestBatchesKeepRevisionsWhole(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		c := collect(t, s, pods)
		stream, err := c.Follow(t.Context(), pods, s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		f.breakWatches() // so that all of it arrives at once
		const perRevision, revisions = 7, 400
		for range revisions {
			b := batch{revision: f.newest() + 1}
			for i := range perRevision {
				c := set(fmt.Sprintf("%s%d", pods, i), "1")
				c.revision = b.revision
				b.changes = append(b.changes, c)
			}
			f.mu.Lock()
			f.add(b)
			f.mu.Unlock()
		}
		for seen := 0; seen < perRevision*revisions; {
			events := next(t, stream)
			if len(events)%perRevision != 0 || len(events) >= batchEvents+perRevision {
				t.Fatalf("batch of %d events", len(events))
			}
			if p := stream.Progress(); p < events[len(events)-1].Revision {
				t.Fatalf("progress %d after revision %d", p, events[len(events)-1].Revision)
			}
			seen += len(events)
		}
	})
}
