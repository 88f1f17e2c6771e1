package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// futureWait bounds how long an exact read waits for a revision that the image has not reached; upstream waits as long.
const futureWait = 3 * time.Second

// collection implements Collection on a folder of the image.
type collection struct {
	store  *Etcd
	folder *folder
}

func (c *collection) Snapshot() Snapshot {
	_, now := c.store.image.newest(c.folder)
	return now
}

func (c *collection) At(ctx context.Context, revision int64) (Snapshot, error) {
	if err := c.store.awaitFuture(ctx, revision); err != nil {
		return nil, fmt.Errorf("reading %s at revision %d: %w", c.folder.prefix, revision, err)
	}
	// A server that shares this etcd cannot serve what is compacted, so none does, whatever its window still holds.
	if revision <= c.store.Compacted() {
		return nil, fmt.Errorf("reading %s at revision %d: %w", c.folder.prefix, revision, ErrCompacted)
	}
	st, now := c.store.image.newest(c.folder)
	switch {
	case revision >= lastChange(st):
		return now.at(revision), nil
	case revision >= st.history.exact:
		if kept := c.folder.past.get(revision); kept != nil {
			return kept, nil
		}
		past := st.snapshot.rewind(st.history.events, revision)
		c.folder.past.put(past)
		return past, nil
	}
	return c.read(ctx, st.snapshot, revision)
}

// lastChange returns the revision since which the collection is as it is.
func lastChange(st *state) int64 {
	if n := len(st.history.events); n > 0 {
		return max(st.history.events[n-1].Revision, st.history.exact)
	}
	return st.history.exact
}

// read builds a state that is older than the window from the backend. What has not changed since is shared with the image.
func (c *collection) read(ctx context.Context, now *snapshot, revision int64) (Snapshot, error) {
	if kept := c.folder.past.get(revision); kept != nil {
		return kept, nil
	}
	t := newTable(c.folder.schema)
	_, err := scan(ctx, c.store.backend, c.folder.prefix, revision, func(kvs []keyValue) {
		for i := range kvs {
			kv := &kvs[i]
			it, found := now.items.get("", kv.key)
			if !found || it.revision != kv.revision {
				it = newItem(kv.key, kv.revision, kv.value)
			}
			t.replace(nil, it)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s at revision %d: %w", c.folder.prefix, revision, err)
	}
	past := t.freeze(revision)
	c.folder.past.put(past)
	return past, nil
}

func (c *collection) Follow(ctx context.Context, prefix string, after int64) (Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(prefix, c.folder.prefix) {
		return nil, fmt.Errorf("following %s: not in collection %s", prefix, c.folder.prefix)
	}
	st, now := c.store.image.newest(c.folder)
	switch {
	case after > now.revision:
		return nil, fmt.Errorf("following %s after revision %d, newest is %d: %w", prefix, after, now.revision, ErrFuture)
	case after < st.history.floor:
		return nil, fmt.Errorf("following %s after revision %d, history begins at %d: %w",
			prefix, after, st.history.floor, ErrCompacted)
	}
	c.store.streams.Add(1)
	return &stream{
		image: c.store.image, folder: c.folder, prefix: prefix, closed: make(chan struct{}),
		release: func() { c.store.streams.Add(-1) },
		number:  st.history.after(after), progress: after,
	}, nil
}

func (c *collection) Object(e Entry) (any, error) {
	if e.item == nil {
		e.item = newItem(e.Key, e.Revision, e.Value)
	}
	obj, err := e.item.decoded(c.folder.codec)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", e.Key, err)
	}
	return obj, nil
}

func (c *collection) Encoded(e Entry, name string, encode func(obj any) ([]byte, error)) ([]byte, error) {
	if e.item == nil {
		e.item = newItem(e.Key, e.Revision, e.Value)
	}
	if data, kept := e.item.encoded(name); kept {
		return data, nil
	}
	return c.encode(e, name, encode)
}

func (c *collection) encode(e Entry, name string, encode func(obj any) ([]byte, error)) ([]byte, error) {
	return c.store.encodings.get(e.item, name, func() ([]byte, error) {
		obj, err := c.Object(e)
		if err != nil {
			return nil, err
		}
		return encode(obj)
	})
}

func (c *collection) Encode(obj any) ([]byte, error) { return c.folder.codec.Encode(obj) }

// pastStates keeps the last few exact states asked for: the pages of one listing ask for the same one again and again.
type pastStates struct {
	mu   sync.Mutex
	kept []*snapshot // the last used at the end
}

const pastKept = 4

func (p *pastStates) get(revision int64) *snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.kept {
		if s.revision == revision {
			p.kept = append(append(p.kept[:i:i], p.kept[i+1:]...), s)
			return s
		}
	}
	return nil
}

func (p *pastStates) put(s *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) == pastKept {
		p.kept = p.kept[1:]
	}
	p.kept = append(p.kept[:len(p.kept):len(p.kept)], s)
}

// forget drops the states that can no longer be asked for.
func (p *pastStates) forget(compacted int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []*snapshot
	for _, s := range p.kept {
		if s.revision > compacted {
			kept = append(kept, s)
		}
	}
	p.kept = kept
}
