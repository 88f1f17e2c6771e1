package local

import (
	"context"
	"errors"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

// rebaseAfter is how many changed keys a stream remembers before it takes a newer snapshot to compare with.
const rebaseAfter = 512

// stream is a client.Stream over the store's. To survive falling behind the store's history it knows what its reader has been
// told: a snapshot, and the keys that changed since.
type stream struct {
	cache *cache
	from  store.Stream
	told  told
	// next takes the place of told once everything up to its snapshot has been delivered.
	next *told
}

// told is a state: a snapshot with later changes laid over it. An absent key in changed is as in the snapshot; a zero Entry
// is deleted.
type told struct {
	snap    store.Snapshot
	changed map[string]store.Entry
}

func newStream(c *cache, snap store.Snapshot, from store.Stream) *stream {
	return &stream{cache: c, from: from, told: told{snap: snap, changed: map[string]store.Entry{}}}
}

// Next implements client.Stream.
func (s *stream) Next(ctx context.Context) ([]client.Event, error) {
	for {
		batch, err := s.from.Next(ctx)
		var out []client.Event
		switch {
		case err == nil:
			out = s.translate(batch)
			s.rebase()
		case errors.Is(err, store.ErrCompacted):
			out = s.catchUp()
		default:
			return nil, err
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// Close implements client.Stream.
func (s *stream) Close() { s.from.Close() }

func (s *stream) translate(batch []store.Event) []client.Event {
	out := make([]client.Event, 0, len(batch))
	for _, ev := range batch {
		if ev.Type == store.Bookmark {
			continue
		}
		after := ev.Entry
		if ev.Type == store.Deleted {
			after = store.Entry{}
		}
		s.remember(ev.Revision, ev.Entry.Key, after)
		before := ev.Old
		if ev.Type == store.Created {
			before = store.Entry{}
		} else if ev.Type == store.Deleted {
			before = ev.Entry
		}
		if e, ok := s.change(before, after); ok {
			out = append(out, e)
		}
	}
	return out
}

// change tells what the selection sees of a key that was before and is after; zero entries stand for absence.
func (s *stream) change(before, after store.Entry) (client.Event, bool) {
	old, was := s.visible(before)
	obj, is := s.visible(after)
	switch {
	case was && is:
		return client.Event{Type: client.Modified, Object: obj, Old: old}, true
	case is:
		return client.Event{Type: client.Added, Object: obj}, true
	case was:
		return client.Event{Type: client.Deleted, Object: old, Old: old}, true
	default:
		return client.Event{}, false
	}
}

func (s *stream) visible(e store.Entry) (api.Object, bool) {
	if e.Key == "" {
		return nil, false
	}
	obj, err := s.cache.object(e)
	if err != nil || !s.cache.filter.Matches(obj) {
		return nil, false
	}
	return s.cache.shown(obj), true
}

func (s *stream) remember(revision int64, key string, after store.Entry) {
	s.told.changed[key] = after
	if s.next != nil && revision > s.next.snap.Revision() {
		s.next.changed[key] = after
	}
}

// rebase keeps what is remembered small: it takes a snapshot now and goes over to it when it has been delivered.
func (s *stream) rebase() {
	if s.next != nil && s.from.Progress() >= s.next.snap.Revision() {
		s.told, s.next = *s.next, nil
	}
	if s.next == nil && len(s.told.changed) >= rebaseAfter {
		s.next = &told{snap: s.cache.source.Collection.Snapshot(), changed: map[string]store.Entry{}}
	}
}

// catchUp starts anew from the newest state and returns the difference to what the reader has been told.
func (s *stream) catchUp() []client.Event {
	s.from.Close()
	snap, from := s.cache.follow()
	s.from = from
	var out []client.Event
	emit := func(before, after store.Entry) {
		if before.Revision == after.Revision && before.Key == after.Key {
			return
		}
		if e, ok := s.change(before, after); ok {
			out = append(out, e)
		}
	}
	for now := range snap.Ascend(s.cache.prefix, "") {
		before, changed := s.told.changed[now.Key]
		if !changed {
			before, _ = s.told.snap.Get(now.Key)
		}
		emit(before, now)
	}
	gone := func(e store.Entry) {
		if _, there := snap.Get(e.Key); !there {
			emit(e, store.Entry{})
		}
	}
	for was := range s.told.snap.Ascend(s.cache.prefix, "") {
		if _, changed := s.told.changed[was.Key]; !changed {
			gone(was)
		}
	}
	for _, was := range s.told.changed {
		if was.Key != "" {
			gone(was)
		}
	}
	s.told, s.next = told{snap: snap, changed: map[string]store.Entry{}}, nil
	return out
}
