package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// fake is a backend in memory: a log of revisions, and every state derived from it. Faults are put in by tests.
type fake struct {
	mu        sync.Mutex
	log       []batch // one per revision, from revision 2 on
	compacted int64
	turns     int64
	turnValue int64
	leases    map[int64]bool
	granted   []int64
	moved     chan struct{} // closed when the log grew or a watch is to break
	broken    int           // how often watches were broken
	txnFault  func(steps []step) (apply bool, err error)
	compactAt []int64
	watches   int
	progress  int
	dead      chan struct{}
}

func newFake() *fake {
	return &fake{leases: map[int64]bool{}, moved: make(chan struct{}), dead: make(chan struct{})}
}

func (f *fake) newest() int64 { return int64(len(f.log)) + 1 }

func (f *fake) wake() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// stateAt returns the keys at a revision, sorted.
func (f *fake) stateAt(revision int64) []keyValue {
	m := map[string]keyValue{}
	for _, b := range f.log {
		if b.revision > revision {
			break
		}
		for _, c := range b.changes {
			delete(m, c.key)
			if !c.deleted {
				m[c.key] = c.keyValue
			}
		}
	}
	var kvs []keyValue
	for _, kv := range m {
		kvs = append(kvs, kv)
	}
	slices.SortFunc(kvs, func(a, b keyValue) int { return strings.Compare(a.key, b.key) })
	return kvs
}

func (f *fake) list(_ context.Context, from, end string, revision, limit int64) (page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if revision == 0 {
		revision = f.newest()
	}
	switch {
	case revision < f.compacted:
		return page{}, ErrCompacted
	case revision > f.newest():
		return page{}, ErrFuture
	}
	p := page{revision: f.newest()}
	if from == turnKey && f.turns > 0 {
		p.items = []keyValue{{key: turnKey, value: strconv.AppendInt(nil, f.turnValue, 10), revision: 1}}
	}
	for _, kv := range f.stateAt(revision) {
		if kv.key >= from && (end == "" || kv.key < end) {
			if p.more = int64(len(p.items)) == limit; p.more {
				break
			}
			p.items = append(p.items, kv)
		}
	}
	return p, nil
}

func (f *fake) revision(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest(), nil
}

func (f *fake) txn(_ context.Context, steps []step) (outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apply, fault := true, error(nil)
	if f.txnFault != nil {
		apply, fault = f.txnFault(steps)
	}
	if !apply {
		return outcome{}, fault
	}
	revisions := map[string]int64{}
	for _, kv := range f.stateAt(f.newest()) {
		revisions[kv.key] = kv.revision
	}
	o := outcome{done: true}
	b := batch{revision: f.newest() + 1}
	for _, st := range steps {
		if st.lease != 0 && !f.leases[st.lease] {
			return outcome{}, errLeaseGone
		}
		at := revisions[st.Key]
		o.found = append(o.found, at)
		o.done = o.done && precondition(st.Op, at) == nil
		switch st.Kind {
		case OpCreate, OpUpdate, OpPut:
			b.changes = append(b.changes, change{keyValue: keyValue{st.Key, st.Value, b.revision}})
		case OpDelete:
			if at != 0 {
				b.changes = append(b.changes, change{keyValue: keyValue{key: st.Key, revision: b.revision}, deleted: true})
			}
		case OpCheck:
		}
	}
	if o.done && len(b.changes) > 0 {
		f.add(b)
	}
	o.revision = f.newest()
	return o, fault
}

func (f *fake) add(b batch) {
	f.log = append(f.log, b)
	f.wake()
}

// elsewhere makes a revision that changes no key of the image.
func (f *fake) elsewhere() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(batch{revision: f.newest() + 1})
	return f.newest()
}

// breakWatches ends all watches with an error.
func (f *fake) breakWatches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken++
	f.wake()
}

func (f *fake) watch(_ context.Context, prefix string, after int64) watch {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches++
	return &fakeWatch{fake: f, prefix: prefix, after: after, broken: f.broken, ask: make(chan struct{}, 1)}
}

func (f *fake) grant(_ context.Context, ttl int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.granted = append(f.granted, ttl)
	id := int64(len(f.granted))
	f.leases[id] = true
	return id, nil
}

func (f *fake) takeTurn(_ context.Context, version, revision int64) (turn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if version != f.turns {
		return turn{version: f.turns, compacted: f.turnValue, revision: f.newest()}, nil
	}
	f.turns++
	f.turnValue = revision
	f.add(batch{revision: f.newest() + 1})
	return turn{won: true, version: f.turns, compacted: revision, revision: f.newest()}, nil
}

func (f *fake) compact(_ context.Context, revision int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compacted = max(f.compacted, revision)
	f.compactAt = append(f.compactAt, revision)
	return nil
}

func (f *fake) failed() <-chan struct{} { return f.dead }
func (f *fake) close() error            { return nil }

type fakeWatch struct {
	fake   *fake
	prefix string
	after  int64
	broken int
	ask    chan struct{}
}

var errWatchBroke = errors.New("watch broke")

func (w *fakeWatch) close() {}

func (w *fakeWatch) progress(context.Context) error {
	w.fake.mu.Lock()
	w.fake.progress++
	w.fake.mu.Unlock()
	select {
	case w.ask <- struct{}{}:
	default:
	}
	return nil
}

func (w *fakeWatch) next(ctx context.Context) (batch, error) {
	for {
		b, moved, err := w.look()
		if err != nil || len(b.changes) > 0 {
			return b, err
		}
		select {
		case <-moved:
		case <-w.ask:
			w.fake.mu.Lock()
			progress := batch{revision: w.after}
			w.fake.mu.Unlock()
			return progress, nil
		case <-ctx.Done():
			return batch{}, ctx.Err()
		}
	}
}

// look returns what there is after the watch's place, or what to wait for.
func (w *fakeWatch) look() (batch, <-chan struct{}, error) {
	f := w.fake
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case w.broken != f.broken:
		return batch{}, nil, errWatchBroke
	case w.after+1 < f.compacted:
		return batch{}, nil, ErrCompacted
	}
	var out batch
	for _, b := range f.log[min(int64(len(f.log)), max(0, w.after-1)):] {
		for _, c := range b.changes {
			if strings.HasPrefix(c.key, w.prefix) {
				out.changes = append(out.changes, c)
			}
		}
		out.revision = b.revision
		w.after = b.revision
	}
	return out, f.moved, nil
}
