package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pods = "/registry/pods/"

func TestEmbedded(t *testing.T) {
	s := openReal(t, Options{SoleWriter: true})
	c := collect(t, s, pods)
	first := commit(t, s, create(pods+"a/x", "l:1"), create(pods+"b/y", "m:2"))
	stream, err := c.Follow(t.Context(), pods, first)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	second := commit(t, s, put(pods+"a/x", "m:3"))
	third := commit(t, s, remove(pods+"b/y"))
	if got, want := show(c.Snapshot(), pods, ""), "/registry/pods/a/x=m:3@3"; got != want {
		t.Errorf("snapshot: got %s, want %s", got, want)
	}
	old, err := c.At(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(old, pods, ""), "/registry/pods/a/x=l:1@2 /registry/pods/b/y=m:2@2"; got != want {
		t.Errorf("at %d: got %s, want %s", first, got, want)
	}
	var events []Event
	for len(events) < 2 {
		events = append(events, next(t, stream)...)
	}
	if got, want := showEvents(events), "U /registry/pods/a/x=m:3@3 D /registry/pods/b/y=m:2@4"; got != want {
		t.Errorf("events: got %s, want %s", got, want)
	}
	if events[0].Revision != second || events[1].Revision != third || stream.Progress() != third {
		t.Errorf("revisions: %d, %d, progress %d", events[0].Revision, events[1].Revision, stream.Progress())
	}
}

func TestDataDirIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	openReal(t, Options{DataDir: dir})
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPreconditions(t *testing.T) {
	s := openReal(t, Options{SoleWriter: true})
	collect(t, s, pods)
	at := commit(t, s, create(pods+"a/there", "1"), create(pods+"a/other", "1"))
	there, absent := pods+"a/there", pods+"a/absent"
	for name, test := range map[string]struct {
		ops   []Op
		index int
		want  error
	}{
		"create existing":        {[]Op{create(there, "2")}, 0, ErrExists},
		"update absent":          {[]Op{{Kind: OpUpdate, Key: absent, Expect: at}}, 0, ErrNotFound},
		"update any absent":      {[]Op{{Kind: OpUpdate, Key: absent}}, 0, ErrNotFound},
		"update stale":           {[]Op{{Kind: OpUpdate, Key: there, Expect: at - 1}}, 0, ErrConflict},
		"delete absent":          {[]Op{{Kind: OpDelete, Key: absent, Expect: at}}, 0, ErrNotFound},
		"delete stale":           {[]Op{{Kind: OpDelete, Key: there, Expect: at + 1}}, 0, ErrConflict},
		"check stale":            {[]Op{{Kind: OpCheck, Key: there, Expect: at + 1}}, 0, ErrConflict},
		"check absent":           {[]Op{{Kind: OpCheck, Key: absent, Expect: at}}, 0, ErrNotFound},
		"check must not exist":   {[]Op{put(absent, "1"), {Kind: OpCheck, Key: there}}, 1, ErrExists},
		"second of several":      {[]Op{create(absent, "1"), create(there, "2")}, 1, ErrExists},
		"first failing is named": {[]Op{put(absent, "1"), create(there, "2"), {Kind: OpUpdate, Key: pods + "n"}}, 1, ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Commit(t.Context(), test.ops...)
			var op *OpError
			if !errors.As(err, &op) || op.Index != test.index || !errors.Is(err, test.want) || op.Op.Key != test.ops[test.index].Key {
				t.Fatalf("got %v, want step %d: %v", err, test.index, test.want)
			}
		})
	}
	for name, op := range map[string]Op{
		"update at":           {Kind: OpUpdate, Key: there, Expect: at, Value: []byte("3")},
		"update any":          {Kind: OpUpdate, Key: pods + "a/other", Value: []byte("3")},
		"delete absent at 0":  {Kind: OpDelete, Key: absent},
		"check absent at 0":   {Kind: OpCheck, Key: absent},
		"put what is not yet": put(pods+"a/new", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			if revision := commit(t, s, op); s.Revision() < revision {
				t.Errorf("image at %d after a commit at %d", s.Revision(), revision)
			}
		})
	}
}

func TestRefusedCommits(t *testing.T) {
	s := openReal(t, Options{SoleWriter: true})
	ended, stop := context.WithCancel(t.Context())
	stop()
	for name, test := range map[string]struct {
		ctx  context.Context
		ops  []Op
		want error
	}{
		"no steps":       {t.Context(), nil, nil},
		"outside":        {t.Context(), []Op{put("/elsewhere/x", "1")}, nil},
		"no kind":        {t.Context(), []Op{{Key: pods + "x"}}, nil},
		"negative TTL":   {t.Context(), []Op{{Kind: OpPut, Key: pods + "x", TTL: -1}}, nil},
		"ended context":  {ended, []Op{put(pods+"x", "1")}, context.Canceled},
		"too large":      {t.Context(), []Op{put(pods+"x", string(make([]byte, 5<<20)))}, ErrTooLarge},
		"same key twice": {t.Context(), []Op{put(pods+"x", "1"), put(pods+"x", "2")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Commit(test.ctx, test.ops...)
			if err == nil || errors.Is(err, ErrAmbiguous) || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want certain failure %v", err, test.want)
			}
		})
	}
}

func TestLargeValue(t *testing.T) {
	s := openReal(t, Options{SoleWriter: true})
	c := collect(t, s, pods)
	value := bytes.Repeat([]byte("x"), 3<<20)
	commit(t, s, Op{Kind: OpCreate, Key: pods + "big", Value: value})
	if e, found := c.Snapshot().Get(pods + "big"); !found || !bytes.Equal(e.Value, value) {
		t.Errorf("got %d bytes, found %v", len(e.Value), found)
	}
}

func TestDataDirHasOneUser(t *testing.T) {
	dir := t.TempDir()
	openReal(t, Options{DataDir: dir})
	if s, err := Open(t.Context(), Options{DataDir: dir}); err == nil {
		_ = s.Close()
		t.Error("opened twice")
	} else if !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
}

// TestQuota: when the quota is used up writes are refused for certain, deleting still works, and after the next compaction
// there is room again.
func TestQuota(t *testing.T) {
	s := openReal(t, Options{QuotaBytes: 24 << 20, CompactInterval: -1, HistoryEvents: 1})
	collect(t, s, pods)
	value := strings.Repeat("x", 2<<20)
	var err error
	keys := 0
	for err == nil {
		if _, err = s.Commit(t.Context(), create(fmt.Sprint(pods, keys), value)); err == nil {
			keys++
		}
	}
	if !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrAmbiguous) || keys < 5 {
		t.Fatalf("after %d writes: %v", keys, err)
	}
	for i := range keys {
		commit(t, s, remove(fmt.Sprint(pods, i)))
	}
	if _, err := s.Commit(t.Context(), create(pods+"y", value)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("before compaction: %v", err)
	}
	if err := s.backend.compact(t.Context(), s.Revision()); err != nil {
		t.Fatal(err)
	}
	commit(t, s, create(pods+"y", value))
}
