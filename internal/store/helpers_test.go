package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// testObject is what testCodec decodes: "label,label:body".
type testObject struct {
	key      string
	revision int64
	labels   []string
	body     string
}

// testCodec counts nothing and knows one thing: values that begin with ! are broken.
type testCodec struct{}

var errBroken = errors.New("broken value")

func (testCodec) Decode(key string, data []byte, revision int64) (any, error) {
	if bytes.HasPrefix(data, []byte("!")) {
		return nil, errBroken
	}
	labels, body, _ := strings.Cut(string(data), ":")
	o := &testObject{key: key, revision: revision, body: body}
	if labels != "" {
		o.labels = strings.Split(labels, ",")
	}
	return o, nil
}

func (testCodec) Encode(obj any) ([]byte, error) {
	o, ok := obj.(*testObject)
	if !ok {
		return nil, fmt.Errorf("encoding a %T", obj)
	}
	return []byte(strings.Join(o.labels, ",") + ":" + o.body), nil
}

func testSpec(prefix string) CollectionSpec {
	return CollectionSpec{
		Prefix: prefix,
		Codec:  testCodec{},
		Indexes: map[string]func(any) []string{
			"label": func(obj any) []string { return obj.(*testObject).labels },
		},
	}
}

// start runs a store until the test ends.
func start(tb testing.TB, s *Etcd, err error) *Etcd {
	tb.Helper()
	if err != nil {
		tb.Fatalf("opening the store: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func openReal(tb testing.TB, o Options) *Etcd {
	tb.Helper()
	if o.DataDir == "" {
		o.DataDir = tb.TempDir()
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Millisecond
	}
	s, err := Open(tb.Context(), o)
	return start(tb, s, err)
}

func collect(tb testing.TB, s *Etcd, prefix string) Collection {
	tb.Helper()
	c, err := s.Collection(tb.Context(), testSpec(prefix))
	if err != nil {
		tb.Fatalf("collection %s: %v", prefix, err)
	}
	return c
}

func commit(tb testing.TB, s Store, ops ...Op) int64 {
	tb.Helper()
	revision, err := s.Commit(tb.Context(), ops...)
	if err != nil {
		tb.Fatalf("commit %v: %v", ops, err)
	}
	return revision
}

func create(key, value string) Op { return Op{Kind: OpCreate, Key: key, Value: []byte(value)} }
func put(key, value string) Op    { return Op{Kind: OpPut, Key: key, Value: []byte(value)} }
func remove(key string) Op        { return Op{Kind: OpDelete, Key: key} }

// show writes a snapshot's content as key=value@revision, space separated.
func show(s Snapshot, prefix, from string) string {
	var parts []string
	for e := range s.Ascend(prefix, from) {
		parts = append(parts, fmt.Sprintf("%s=%s@%d", e.Key, e.Value, e.Revision))
	}
	return strings.Join(parts, " ")
}

// showEvents writes events as C|U|D key=value@revision, space separated.
func showEvents(events []Event) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, fmt.Sprintf("%c %s=%s@%d", "?CUDB"[e.Type], e.Entry.Key, e.Entry.Value, e.Revision))
	}
	return strings.Join(parts, " ")
}

func next(tb testing.TB, s Stream) []Event {
	tb.Helper()
	events, err := s.Next(tb.Context())
	if err != nil {
		tb.Fatalf("next: %v", err)
	}
	return events
}
