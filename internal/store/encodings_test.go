package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestEncodedOnce(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		c := collect(t, s, pods)
		commit(t, s, create(pods+"x", "l:1"))
		e, _ := c.Snapshot().Get(pods + "x")
		var made atomic.Int32
		var readers sync.WaitGroup
		results := make([][]byte, 20)
		for i := range results {
			readers.Go(func() {
				results[i], _ = c.Encoded(e, "json", func(any) ([]byte, error) {
					made.Add(1)
					return []byte("encoded"), nil
				})
			})
		}
		readers.Wait()
		for _, r := range results {
			if &r[0] != &results[0][0] {
				t.Error("encodings are not shared")
			}
		}
		if made.Load() != 1 {
			t.Errorf("made %d times", made.Load())
		}
		other, _ := c.Encoded(e, "yaml", func(obj any) ([]byte, error) { return []byte(obj.(*testObject).body), nil })
		if string(other) != "1" {
			t.Errorf("other encoding: %s", other)
		}
	})
}

func TestEncodedBudget(t *testing.T) {
	c := &encodings{budget: 10 * (1000 + encodingOverhead)}
	made := 0
	get := func(it *item) {
		if _, kept := it.encoded("x"); kept {
			return
		}
		data, err := c.get(it, "x", func() ([]byte, error) { made++; return make([]byte, 1000), nil })
		if err != nil || len(data) != 1000 {
			t.Fatal(err)
		}
	}
	hot := newItem("hot", 1, nil)
	for i := range 100 {
		get(newItem(fmt.Sprint(i), 1, nil))
		get(hot)
		if c.size > c.budget || len(c.ring) > 10 {
			t.Fatalf("%d bytes in %d encodings", c.size, len(c.ring))
		}
	}
	if made != 101 {
		t.Errorf("made %d, want 101: what is used must stay", made)
	}
}

func TestEncodedTooBig(t *testing.T) {
	c := &encodings{budget: 100}
	it := newItem("x", 1, nil)
	for range 2 {
		if data, err := c.get(it, "x", func() ([]byte, error) { return []byte("big"), nil }); err != nil || string(data) != "big" {
			t.Errorf("got %s, %v", data, err)
		}
		if c.size != 0 || it.encodings.Load() != nil {
			t.Errorf("kept %d bytes", c.size)
		}
	}
}

func TestEncodedFailure(t *testing.T) {
	c := &encodings{budget: 1000}
	it := newItem("x", 1, nil)
	failure := errors.New("failure")
	if _, err := c.get(it, "x", func() ([]byte, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = c.get(it, "x", func() ([]byte, error) { panic("encoder") })
	}()
	if data, err := c.get(it, "x", func() ([]byte, error) { return []byte("1"), nil }); err != nil || string(data) != "1" {
		t.Errorf("after failures: %s, %v", data, err)
	}
}

func TestBrokenObject(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		c := collect(t, s, pods)
		commit(t, s, create(pods+"x", "!l:1"))
		e, found := c.Snapshot().Get(pods + "x")
		if !found || string(e.Value) != "!l:1" {
			t.Fatalf("found %v", found)
		}
		_, err := c.Object(e)
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), pods+"x") {
			t.Errorf("object: %v", err)
		}
		if _, err := c.Encoded(e, "x", nil); !errors.Is(err, errBroken) {
			t.Errorf("encoded: %v", err)
		}
	})
}

func TestObjectsAreShared(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		c := collect(t, s, pods)
		stream, err := c.Follow(t.Context(), pods, s.Revision())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		at := commit(t, s, create(pods+"x", "l:1"))
		e, _ := c.Snapshot().Get(pods + "x")
		first, _ := c.Object(e)
		second, _ := c.Object(next(t, stream)[0].Entry)
		if first != second || first.(*testObject).revision != at {
			t.Errorf("objects %v and %v", first, second)
		}
		gone := commit(t, s, remove(pods+"x"))
		last, _ := c.Object(next(t, stream)[0].Entry)
		if last.(*testObject).revision != gone || first.(*testObject).revision != at {
			t.Errorf("deleted object has revision %d, want %d", last.(*testObject).revision, gone)
		}
		// An entry that is not from a snapshot is decoded for itself.
		if obj, err := c.Object(Entry{Key: "k", Revision: 3, Value: []byte(":b")}); err != nil || obj.(*testObject).body != "b" {
			t.Errorf("got %v, %v", obj, err)
		}
	})
}
