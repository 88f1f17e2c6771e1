package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// image is the whole key space in memory. Whoever writes (the feed, a registration) holds mu; readers take none: each
// folder publishes an immutable state, and after all folders touched by a batch the image publishes its tip. A reader that
// loads the tip first and a folder's state second therefore has every change up to the tip.
type image struct {
	limits historyLimits

	mu      sync.Mutex
	folders []*folder // by prefix
	rest    *folder   // the keys no collection was registered for; has no readers and shows no state
	bytes   int       // of all histories

	tip atomic.Pointer[tip]
	// hungry counts those waiting for a revision that may bring no change under the root.
	hungry atomic.Int64
	// wanted wakes who asks the backend for progress.
	wanted chan struct{}
	// stopped is closed when nothing feeds the image any more.
	stopped  chan struct{}
	stopOnce sync.Once
}

// historyLimits bound the history window: events per collection, and bytes over all of them.
type historyLimits struct {
	events int
	bytes  int
}

// tip is how far the image has come; passed is closed when there is a newer one.
type tip struct {
	revision int64
	passed   chan struct{}
}

// folder is the image's part for one collection.
type folder struct {
	*schema
	table   *table  // the writer's
	history history // the writer's
	// behind says that the writer's tables have changes that are not in state yet.
	behind bool
	state  atomic.Pointer[state]
	past   pastStates
}

// state is what a folder shows to readers. Immutable.
type state struct {
	snapshot *snapshot
	history  history
	changed  chan struct{} // closed when there is a newer state
}

func newImage(root string, limits historyLimits) *image {
	m := &image{limits: limits, wanted: make(chan struct{}, 1), stopped: make(chan struct{})}
	m.rest = newFolder(&schema{prefix: root}, 0)
	m.tip.Store(&tip{passed: make(chan struct{})})
	return m
}

func newFolder(s *schema, revision int64) *folder {
	f := &folder{schema: s, table: newTable(s)}
	f.history.floor, f.history.exact = revision, revision
	f.state.Store(&state{snapshot: f.table.freeze(revision), history: f.history, changed: make(chan struct{})})
	return f
}

// publish shows the writer's tables to readers and wakes who waits for them.
func (f *folder) publish(revision int64) {
	old := f.state.Load()
	f.state.Store(&state{snapshot: f.table.freeze(revision), history: f.history, changed: make(chan struct{})})
	f.behind = false
	close(old.changed)
}

// advance publishes the tip.
func (m *image) advance(revision int64) {
	old := m.tip.Load()
	if revision <= old.revision {
		return
	}
	m.tip.Store(&tip{revision: revision, passed: make(chan struct{})})
	close(old.passed)
}

func (m *image) revision() int64 { return m.tip.Load().revision }

// newest returns the newest state of a folder, as a snapshot of the revision it is known to be complete for.
func (m *image) newest(f *folder) (*state, *snapshot) {
	revision := m.revision() // before the state: see image
	st := f.state.Load()
	if revision <= st.snapshot.revision {
		return st, st.snapshot
	}
	return st, st.snapshot.at(revision)
}

// folderOf returns the folder of a key, nil when the key is outside the root.
func (m *image) folderOf(key string) *folder {
	i, found := slices.BinarySearchFunc(m.folders, key, func(f *folder, key string) int {
		return strings.Compare(f.prefix, key)
	})
	if !found {
		i--
	}
	if i >= 0 && strings.HasPrefix(key, m.folders[i].prefix) {
		return m.folders[i]
	}
	if strings.HasPrefix(key, m.rest.prefix) {
		return m.rest
	}
	return nil
}

// apply brings a batch into the image.
func (m *image) apply(b batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reached := m.revision()
	for i := range b.changes {
		if c := &b.changes[i]; c.revision > reached {
			m.change(c)
		}
	}
	m.trim()
	m.publish(max(b.revision, reached))
}

// publish shows all changed folders, then the tip.
func (m *image) publish(revision int64) {
	for _, f := range m.folders {
		if f.behind {
			f.publish(revision)
		}
	}
	m.advance(revision)
}

// change applies one change to the writer's side.
func (m *image) change(c *change) {
	f := m.folderOf(c.key)
	if f == nil {
		return
	}
	was, _ := f.table.items.get("", c.key)
	e := Event{Type: Updated, Revision: c.revision, Old: was.entry()}
	switch {
	case c.deleted && was == nil:
		return
	case c.deleted:
		e.Type = Deleted
		e.Entry = newItem(was.key, c.revision, was.value).entry()
		f.table.replace(was, nil)
	default:
		now := newItem(c.key, c.revision, c.value)
		if was == nil {
			e.Type = Created
		} else {
			now.key = was.key // one string per key, however often it changes
		}
		e.Entry = now.entry()
		f.table.replace(was, now)
	}
	f.history.add(e)
	m.bytes += cost(&e)
	f.behind = true
}

// trim drops the oldest events until the history window fits its limits.
func (m *image) trim() {
	oldest := m.trimCounts(m.rest, nil)
	for _, f := range m.folders {
		oldest = m.trimCounts(f, oldest)
	}
	for m.bytes > m.limits.bytes && oldest != nil {
		m.drop(oldest)
		oldest = older(m.rest, nil)
		for _, f := range m.folders {
			oldest = older(f, oldest)
		}
	}
}

func (m *image) trimCounts(f, oldest *folder) *folder {
	for len(f.history.events) > m.limits.events {
		m.drop(f)
	}
	return older(f, oldest)
}

// older returns the folder with the older first event.
func older(f, oldest *folder) *folder {
	if len(f.history.events) > 0 &&
		(oldest == nil || f.history.events[0].Revision < oldest.history.events[0].Revision) {
		return f
	}
	return oldest
}

func (m *image) drop(f *folder) {
	m.bytes -= f.history.drop()
	f.behind = true
}

// seed fills an empty image with the state at a revision.
func (m *image) seed(items []keyValue, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range items {
		kv := &items[i]
		m.rest.table.replace(nil, newItem(kv.key, kv.revision, kv.value))
	}
	m.rest.history.floor, m.rest.history.exact = revision, revision
	m.advance(revision)
}

// reload brings the image to a state read after a gap in the feed: what changed in between is told as if each key had
// changed once. States inside the gap are unknown, so exact states begin after it.
func (m *image) reload(items []keyValue, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reached := m.revision()
	var changes []change
	seen := make(map[string]bool, len(items))
	for _, kv := range items {
		seen[kv.key] = true
		if kv.revision > reached {
			changes = append(changes, change{keyValue: kv})
		}
	}
	gone := func(f *folder) {
		f.table.items.ascend("", "", func(it *item) bool {
			if !seen[it.key] {
				changes = append(changes, change{keyValue: keyValue{key: it.key, revision: revision}, deleted: true})
			}
			return true
		})
	}
	gone(m.rest)
	for _, f := range m.folders {
		gone(f)
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.revision, b.revision) })
	for i := range changes {
		m.change(&changes[i])
	}
	m.rest.history.exact = revision
	for _, f := range m.folders {
		f.history.exact, f.behind = revision, true
	}
	m.trim()
	m.publish(revision)
}

// register makes a folder of its own for a prefix and moves its keys and its history there.
func (m *image) register(s *schema) (*folder, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := len(m.folders)
	for i, f := range m.folders {
		switch {
		case f.prefix == s.prefix:
			return f, nil
		case strings.HasPrefix(f.prefix, s.prefix), strings.HasPrefix(s.prefix, f.prefix):
			return nil, fmt.Errorf("collection %s overlaps collection %s", s.prefix, f.prefix)
		case f.prefix > s.prefix:
			at = min(at, i)
		}
	}
	f := newFolder(s, m.rest.history.floor)
	m.rest.table.items.freeze().ascend("", s.prefix, func(it *item) bool {
		if !strings.HasPrefix(it.key, s.prefix) {
			return false
		}
		m.rest.table.items.remove("", it.key)
		f.table.replace(nil, it)
		return true
	})
	f.history = m.rest.history.cut(s.prefix)
	f.publish(m.revision())
	m.folders = slices.Insert(m.folders, at, f)
	return f, nil
}

// reach blocks until the image has reached the revision. A hungry caller is one whose revision may have brought no change
// under the root, so that only a progress notification can tell.
func (m *image) reach(ctx context.Context, revision int64, hungry bool) error {
	t := m.tip.Load()
	if t.revision >= revision {
		return nil
	}
	if hungry {
		m.hungry.Add(1)
		defer m.hungry.Add(-1)
		select {
		case m.wanted <- struct{}{}:
		default:
		}
	}
	for ; t.revision < revision; t = m.tip.Load() {
		select {
		case <-t.passed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for revision %d at %d: %w", revision, m.revision(), ctx.Err())
		case <-m.stopped:
			return fmt.Errorf("waiting for revision %d at %d: %w", revision, m.revision(), ErrClosed)
		}
	}
	return nil
}

func (m *image) stop() { m.stopOnce.Do(func() { close(m.stopped) }) }

// forgetPast drops kept older states up to the revision.
func (m *image) forgetPast(compacted int64) {
	m.mu.Lock()
	folders := slices.Clone(m.folders)
	m.mu.Unlock()
	for _, f := range folders {
		f.past.forget(compacted)
	}
}
