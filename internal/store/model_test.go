package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"pgregory.net/rapid"
)

// model is a plain map per revision, and what happened at each.
type model struct {
	states map[int64]map[string]keyValue // by every revision since the first
	events []Event                       // without items
	first  int64
	newest int64
}

func newModel(revision int64) *model {
	return &model{first: revision, newest: revision, states: map[int64]map[string]keyValue{revision: {}}}
}

// advance repeats the newest state up to a revision.
func (m *model) advance(revision int64) map[string]keyValue {
	for m.newest < revision {
		m.states[m.newest+1] = m.states[m.newest]
		m.newest++
	}
	m.states[revision] = maps.Clone(m.states[revision])
	return m.states[revision]
}

// commit applies the steps at a revision.
func (m *model) commit(ops []Op, revision int64) {
	state := m.advance(revision)
	for _, op := range ops {
		old, existed := state[op.Key]
		e := Event{Revision: revision, Type: Created, Entry: Entry{Key: op.Key, Revision: revision, Value: op.Value}}
		if existed {
			e.Type = Updated
			e.Old = Entry{Key: op.Key, Revision: old.revision, Value: old.value}
		}
		switch {
		case op.Kind == OpCheck:
			continue
		case op.Kind == OpDelete && !existed:
			continue
		case op.Kind == OpDelete:
			e.Type, e.Entry.Value = Deleted, old.value
			delete(state, op.Key)
		default:
			state[op.Key] = keyValue{op.Key, op.Value, revision}
		}
		m.events = append(m.events, e)
	}
}

// failing returns the index of the first step whose precondition does not hold now, or -1.
func (m *model) failing(ops []Op) int {
	return slices.IndexFunc(ops, func(op Op) bool {
		kv, exists := m.states[m.newest][op.Key]
		switch op.Kind {
		case OpCreate:
			return exists
		case OpUpdate:
			return !exists || op.Expect != 0 && kv.revision != op.Expect
		case OpDelete:
			return op.Expect != 0 && kv.revision != op.Expect
		case OpCheck:
			return kv.revision != op.Expect
		default:
			return false
		}
	})
}

func (m *model) show(revision int64, prefix, from string) string {
	var parts []string
	state := m.states[revision]
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if strings.HasPrefix(key, prefix) && key >= from {
			parts = append(parts, fmt.Sprintf("%s=%s@%d", key, state[key].value, state[key].revision))
		}
	}
	return strings.Join(parts, " ")
}

// between returns the events with the prefix after one revision, up to another.
func (m *model) between(prefix string, after, upTo int64) []Event {
	var events []Event
	for _, e := range m.events {
		if strings.HasPrefix(e.Entry.Key, prefix) && e.Revision > after && e.Revision <= upTo {
			events = append(events, e)
		}
	}
	return events
}

// follower is a stream and what it has delivered.
type follower struct {
	stream Stream
	prefix string
	after  int64
	got    []Event
}

// trial is one run of a store beside its model.
type trial struct {
	*rapid.T
	store       *Etcd
	fake        *fake // nil with a real etcd
	model       *model
	prefix      string
	folders     []string
	collections map[string]Collection
	followers   []*follower
	window      int
	writes      int
}

func (t *trial) key() string {
	return rapid.SampledFrom(t.folders).Draw(t.T, "folder") +
		rapid.SampledFrom([]string{"a/", "b/", "ab/"}).Draw(t.T, "namespace") +
		rapid.SampledFrom([]string{"x", "xy", "y"}).Draw(t.T, "name")
}

func (t *trial) op() Op {
	op := Op{Kind: OpKind(rapid.IntRange(int(OpCreate), int(OpCheck)).Draw(t.T, "kind")), Key: t.key()}
	at := t.model.states[t.model.newest][op.Key].revision
	switch op.Kind {
	case OpUpdate, OpDelete, OpCheck:
		op.Expect = rapid.SampledFrom([]int64{0, at, at, at, at + 1}).Draw(t.T, "expect")
	case OpCreate, OpPut:
	}
	if op.Kind != OpDelete && op.Kind != OpCheck {
		t.writes++
		op.Value = []byte(rapid.SampledFrom([]string{"", "l", "m", "l,m"}).Draw(t.T, "labels") + fmt.Sprintf(":%d", t.writes))
		if rapid.IntRange(0, 9).Draw(t.T, "broken") == 0 {
			op.Value[0] = '!'
		}
	}
	return op
}

func (t *trial) commit(*rapid.T) {
	var ops []Op
	for range rapid.IntRange(1, 4).Draw(t.T, "steps") {
		if op := t.op(); !slices.ContainsFunc(ops, func(o Op) bool { return o.Key == op.Key }) {
			ops = append(ops, op)
		}
	}
	failing := t.model.failing(ops)
	revision, err := t.store.Commit(t.Context(), ops...)
	if failing >= 0 {
		var failed *OpError
		if !errors.As(err, &failed) || failed.Index != failing {
			t.Fatalf("commit %+v: got %v, want step %d to fail", ops, err, failing)
		}
		return
	}
	if err != nil {
		t.Fatalf("commit %+v: %v", ops, err)
	}
	t.model.commit(ops, revision)
}

func (t *trial) snapshot(*rapid.T) {
	folder := rapid.SampledFrom(t.registered()).Draw(t.T, "folder")
	c := t.collections[folder]
	t.compare(c, c.Snapshot(), folder)
	// Collections seen at the same revision agree by agreeing with the model.
}

// compare checks a snapshot against the model's state at its revision.
func (t *trial) compare(c Collection, s Snapshot, folder string) {
	t.model.advance(max(s.Revision(), t.model.newest))
	prefix := folder + rapid.SampledFrom([]string{"", "a", "a/", "b/", "c/"}).Draw(t.T, "prefix")
	from := rapid.SampledFrom([]string{"", folder + "a/xy", folder + "b", "/", "zzz"}).Draw(t.T, "from")
	if got, want := show(s, prefix, from), t.model.show(s.Revision(), prefix, from); got != want {
		t.Fatalf("%s from %q at %d: got %s, want %s", prefix, from, s.Revision(), got, want)
	}
	counted := 0
	for key, kv := range t.model.states[s.Revision()] {
		if strings.HasPrefix(key, prefix) {
			counted++
			if e, found := s.Get(key); !found || string(e.Value) != string(kv.value) {
				t.Fatalf("get %s at %d: got %q, %v, want %q", key, s.Revision(), e.Value, found, kv.value)
			}
		}
	}
	if got := s.Len(prefix); got != counted {
		t.Fatalf("len of %s at %d: got %d, want %d", prefix, s.Revision(), got, counted)
	}
	t.compareIndex(c, s, folder)
}

// compareIndex checks that the index is what the objects say.
func (t *trial) compareIndex(c Collection, s Snapshot, folder string) {
	for _, label := range []string{"l", "m", "n"} {
		var got, want []string
		for e := range s.Index("label", label) {
			got = append(got, fmt.Sprintf("%s@%d", e.Key, e.Revision))
		}
		for e := range s.Ascend(folder, "") {
			obj, err := c.Object(e)
			if broken := strings.HasPrefix(string(e.Value), "!"); broken != errors.Is(err, errBroken) {
				t.Fatalf("decoding %q: %v", e.Value, err)
			}
			if err == nil && slices.Contains(obj.(*testObject).labels, label) {
				want = append(want, fmt.Sprintf("%s@%d", e.Key, e.Revision))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("index %s of %s at %d: got %v, want %v", label, folder, s.Revision(), got, want)
		}
	}
}

func (t *trial) registered() []string { return slices.Sorted(maps.Keys(t.collections)) }

func (t *trial) register(*rapid.T) {
	folder := rapid.SampledFrom(t.folders).Draw(t.T, "folder")
	c, err := t.store.Collection(t.Context(), testSpec(folder))
	if err != nil {
		t.Fatal(err)
	}
	t.collections[folder] = c
}

func (t *trial) at(*rapid.T) {
	folder := rapid.SampledFrom(t.registered()).Draw(t.T, "folder")
	revision := rapid.Int64Range(t.model.first, t.store.Revision()).Draw(t.T, "revision")
	c := t.collections[folder]
	s, err := c.At(t.Context(), revision)
	compacted := t.store.Compacted()
	switch {
	case revision <= compacted && errors.Is(err, ErrCompacted):
	case err != nil || revision <= compacted:
		t.Fatalf("at %d, compacted %d: %v", revision, compacted, err)
	case s.Revision() != revision:
		t.Fatalf("at %d: got revision %d", revision, s.Revision())
	default:
		t.compare(c, s, folder)
	}
}

func (t *trial) follow(*rapid.T) {
	folder := rapid.SampledFrom(t.registered()).Draw(t.T, "folder")
	prefix := folder + rapid.SampledFrom([]string{"", "a/", "b/"}).Draw(t.T, "prefix")
	after := rapid.Int64Range(t.model.first, t.store.Revision()+1).Draw(t.T, "after")
	stream, err := t.collections[folder].Follow(t.Context(), prefix, after)
	switch {
	case after > t.store.Revision():
		if !errors.Is(err, ErrFuture) {
			t.Fatalf("follow after %d: got %v, want a future revision", after, err)
		}
	case errors.Is(err, ErrCompacted):
		t.mustBeFar(after)
	case err != nil:
		t.Fatal(err)
	default:
		t.followers = append(t.followers, &follower{stream: stream, prefix: prefix, after: after})
	}
}

// mustBeFar checks that a reader may be told that its place is gone. A collection registered late shares its window with
// others before that.
func (t *trial) mustBeFar(after int64) {
	if n := len(t.model.between(t.prefix, after, t.model.newest)); n <= t.window {
		t.Fatalf("compacted after %d with %d events since, window of %d", after, n, t.window)
	}
}

func (t *trial) read(*rapid.T) {
	if len(t.followers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(t.followers)-1).Draw(t.T, "follower")
	f := t.followers[i]
	newest := t.store.Revision()
	want := t.model.between(f.prefix, f.after, newest)
	for len(f.got) < len(want) {
		events, err := f.stream.Next(t.Context())
		if errors.Is(err, ErrCompacted) {
			t.mustBeFar(f.after)
			f.stream.Close()
			t.followers = slices.Delete(t.followers, i, i+1)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f.got = append(f.got, events...)
	}
	if p := f.stream.Progress(); p < newest {
		// Nothing to deliver, and yet not known to be so: only when the place is gone.
		if _, err := f.stream.Next(t.Context()); !errors.Is(err, ErrCompacted) {
			t.Fatalf("all delivered up to %d, progress %d, next: %v", newest, p, err)
		}
		t.mustBeFar(f.after)
		f.stream.Close()
		t.followers = slices.Delete(t.followers, i, i+1)
	}
	for j := range want {
		got := f.got[j]
		got.Entry.item, got.Old.item = nil, nil
		if w := want[j]; w.Type == Deleted {
			got.Old = w.Old
		}
		if fmt.Sprint(got) != fmt.Sprint(want[j]) {
			t.Fatalf("event %d after %d of %s: got %v, want %v", j, f.after, f.prefix, got, want[j])
		}
	}
}

func (t *trial) current(*rapid.T) {
	if t.fake != nil && rapid.Bool().Draw(t.T, "elsewhere") {
		t.model.advance(t.fake.elsewhere())
	}
	revision, err := t.store.Current(t.Context())
	if err != nil || revision < t.model.newest {
		t.Fatalf("current: got %d, %v, want at least %d", revision, err, t.model.newest)
	}
}

func (t *trial) breakWatch(*rapid.T) {
	if t.fake != nil {
		t.fake.breakWatches()
	}
}

func (t *trial) compact(*rapid.T) {
	revision := rapid.Int64Range(t.store.Compacted()+1, t.store.Revision()).Draw(t.T, "compact")
	if err := t.store.backend.compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	t.store.learnCompacted(revision)
}

func (t *trial) run() {
	actions := map[string]func(*rapid.T){
		"commit": t.commit, "commit2": t.commit, "snapshot": t.snapshot, "at": t.at, "follow": t.follow,
		"read": t.read, "current": t.current, "register": t.register, "break": t.breakWatch, "compact": t.compact,
	}
	t.register(t.T)
	t.Repeat(actions)
	for len(t.followers) > 0 {
		t.read(t.T)
		if n := len(t.followers); n > 0 {
			t.followers[n-1].stream.Close()
			t.followers = t.followers[:n-1]
		}
	}
	if n := t.store.Stats().Streams; n != 0 {
		t.Fatalf("%d streams open", n)
	}
}

// TestModelOnFake runs random histories on a backend in memory whose watches break.
func TestModelOnFake(t *testing.T) { rapid.Check(t, tryFake) }

// hurriedClock makes the store's pauses short.
type hurriedClock struct{ clock.RealClock }

func (hurriedClock) After(d time.Duration) <-chan time.Time { return time.After(d / 100) }

func tryFake(rt *rapid.T) {
	window := rapid.SampledFrom([]int{0, 3, 20, 1000}).Draw(rt, "window")
	f := newFake()
	s, err := open(context.Background(), f, Options{HistoryEvents: max(1, window), CompactInterval: -1, Clock: hurriedClock{}})
	if err != nil {
		rt.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			rt.Errorf("run: %v", err)
		}
	}()
	(&trial{
		T: rt, store: s, fake: f, model: newModel(1), prefix: "/registry/", window: max(1, window),
		folders:     []string{"/registry/configmaps/", pods, "/registry/podtemplates/"},
		collections: map[string]Collection{},
	}).run()
}

// TestModelOnEtcd runs random histories on one real etcd, each under names of its own.
func TestModelOnEtcd(t *testing.T) {
	s := openReal(t, Options{HistoryEvents: 20, CompactInterval: -1, Heartbeat: 5 * time.Millisecond})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		prefix := fmt.Sprintf("/registry/run%d/", run)
		(&trial{
			T: rt, store: s, model: newModel(s.Revision()), prefix: prefix, window: 20,
			folders:     []string{prefix + "configmaps/", prefix + "pods/", prefix + "podtemplates/"},
			collections: map[string]Collection{},
		}).run()
	})
}
