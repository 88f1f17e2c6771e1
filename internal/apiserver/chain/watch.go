package chain

import (
	"context"
	"errors"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/store"
)

// WatchOptions say where a watch begins.
type WatchOptions struct {
	ResourceVersion string
	// SendInitialEvents asks for the current state as events, ended by a bookmark; nil leaves it to the resource version.
	SendInitialEvents *bool
	Bookmarks         bool
	// ProgressOnRead asks for a report whenever RequestProgress is called for the resource.
	ProgressOnRead bool
}

// WatchEvent is one event for a client.
type WatchEvent struct {
	// Type is ADDED, MODIFIED, DELETED or BOOKMARK.
	Type string
	Item Item
	// Revision is the revision of the event.
	Revision int64
	// InitialEnd marks the bookmark after the initial events.
	InitialEnd bool
}

// The types of a WatchEvent.
const (
	EventAdded    = "ADDED"
	EventModified = "MODIFIED"
	EventDeleted  = "DELETED"
	EventBookmark = "BOOKMARK"
)

// Watch is a running watch. One reader at a time; Close when done.
type Watch struct {
	kind    *kind
	filter  Filter
	stream  store.Stream
	initial []WatchEvent
	// skip drops events up to a revision the client has seen or does not want.
	skip int64
	// closing undoes what the start did.
	closing func()

	pokeMu sync.Mutex
	poked  bool
	wake   context.CancelFunc
}

// Watch starts a watch. An error before the first event is returned as such, a later one by Next.
func (c *Chain) Watch(ctx context.Context, call *Call, opts WatchOptions) (*Watch, error) {
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	filter, err := c.Filter(call.Target.Resource, call.LabelSelector, call.FieldSelector)
	if err != nil {
		return nil, err
	}
	revision, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	w := &Watch{kind: k, filter: filter, closing: func() {}}
	if wantsInitial(opts) {
		err = w.startWithState(ctx, c, call, revision, opts)
	} else {
		err = w.startAfter(ctx, c, call, revision)
	}
	if err != nil {
		return nil, err
	}
	if opts.ProgressOnRead {
		c.progress.add(w)
		w.closing = func() { c.progress.remove(w) }
	}
	return w, nil
}

// wantsInitial decides whether a watch begins with the current state: asked for, or by its old way, a resource version that
// names none.
func wantsInitial(opts WatchOptions) bool {
	if opts.SendInitialEvents != nil {
		return *opts.SendInitialEvents
	}
	return opts.ResourceVersion == "" || opts.ResourceVersion == "0"
}

func (w *Watch) startWithState(ctx context.Context, c *Chain, call *Call, revision int64, opts WatchOptions) error {
	plan := readPlan{freshness: notOlder, revision: revision}
	switch opts.ResourceVersion {
	case "":
		plan.freshness = consistent
	case "0":
		plan.freshness = anyRevision
	}
	for {
		snap, err := c.snapshot(ctx, w.kind, plan)
		if err != nil {
			return storeError(err, call.groupResource(), "")
		}
		stream, err := w.kind.coll.Follow(ctx, w.kind.key(call.Namespace, ""), snap.Revision())
		if errors.Is(err, store.ErrCompacted) {
			continue // the history moved on between the two calls
		}
		if err != nil {
			return storeError(err, call.groupResource(), "")
		}
		w.stream = stream
		listing, err := w.kind.collect(snap, w.filter, call.Namespace, "", 0)
		if err != nil {
			stream.Close()
			return err
		}
		w.initial = make([]WatchEvent, 0, len(listing.Items)+1)
		for _, item := range listing.Items {
			w.initial = append(w.initial, WatchEvent{Type: EventAdded, Item: item, Revision: item.Revision()})
		}
		if opts.SendInitialEvents != nil && opts.Bookmarks {
			w.initial = append(w.initial, WatchEvent{Type: EventBookmark, Revision: snap.Revision(), InitialEnd: true})
		}
		return nil
	}
}

func (w *Watch) startAfter(ctx context.Context, c *Chain, call *Call, revision int64) error {
	s := c.cfg.Store
	after := revision
	if after == 0 {
		after = s.Revision()
	}
	if after > s.Revision() {
		// Ahead of this server's image: begin with what it has and pass on only what is newer than asked.
		w.skip = after
		after = s.Revision()
	}
	stream, err := w.kind.coll.Follow(ctx, w.kind.key(call.Namespace, ""), after)
	if errors.Is(err, store.ErrCompacted) {
		return tooOld(revision, s.Compacted()+1)
	}
	if err != nil {
		return storeError(err, call.groupResource(), "")
	}
	w.stream = stream
	return nil
}

// Next blocks until there are events for the client, until wait (when not zero) has passed, until a report of progress is
// requested, or until ctx ends. With no event it returns none and no error: the caller may send a bookmark of Progress.
func (w *Watch) Next(ctx context.Context, wait time.Duration) ([]WatchEvent, error) {
	if w.initial != nil {
		events := w.initial
		w.initial = nil
		if len(events) > 0 {
			return events, nil
		}
	}
	limited, cancel := context.WithCancel(ctx)
	if wait > 0 {
		limited, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	if !w.listen(cancel) {
		return nil, nil
	}
	defer w.unlisten()
	for {
		batch, err := w.stream.Next(limited)
		if err != nil {
			if ctx.Err() == nil && limited.Err() != nil {
				return nil, nil
			}
			if errors.Is(err, store.ErrCompacted) {
				return nil, tooOld(w.stream.Progress(), w.stream.Progress()+1)
			}
			return nil, err
		}
		events, err := w.translate(batch)
		if err != nil || len(events) > 0 {
			return events, err
		}
	}
}

// Progress is the revision up to which the client has been told everything.
func (w *Watch) Progress() int64 { return w.stream.Progress() }

// Close ends the watch.
func (w *Watch) Close() {
	w.closing()
	w.stream.Close()
}

// translate makes of a batch of the store what the client's selection sees.
func (w *Watch) translate(batch []store.Event) ([]WatchEvent, error) {
	var out []WatchEvent
	for _, ev := range batch {
		if ev.Revision <= w.skip || ev.Type == store.Bookmark {
			continue
		}
		event, ok, err := w.see(ev)
		if err != nil {
			return out, err
		}
		if ok {
			out = append(out, event)
		}
	}
	return out, nil
}

func (w *Watch) see(ev store.Event) (WatchEvent, bool, error) {
	item := Item{entry: ev.Entry, coll: w.kind.coll}
	out := WatchEvent{Item: item, Revision: ev.Revision}
	if w.filter.Empty() {
		out.Type = eventName(ev.Type)
		return out, true, nil
	}
	is, was := false, false
	if ev.Type != store.Deleted {
		obj, err := item.Object()
		if err != nil {
			return out, false, err
		}
		is = w.filter.Matches(obj)
	}
	if ev.Type != store.Created {
		before := Item{entry: ev.Old, coll: w.kind.coll}
		if ev.Type == store.Deleted {
			before = item
		}
		obj, err := before.Object()
		if err != nil {
			return out, false, err
		}
		was = w.filter.Matches(obj)
		if was && !is && ev.Type == store.Updated {
			out.Item = ItemOf(atRevision(obj, ev.Revision))
		}
	}
	out.Type = selectedType(was, is)
	return out, out.Type != "", nil
}

// selectedType names the event that a selection sees when an object that was (or was not) in it now is (or is not).
func selectedType(was, is bool) string {
	switch {
	case is && was:
		return EventModified
	case is:
		return EventAdded
	case was:
		return EventDeleted
	default:
		return ""
	}
}

func eventName(t store.EventType) string {
	switch t {
	case store.Created:
		return EventAdded
	case store.Updated:
		return EventModified
	default:
		return EventDeleted
	}
}

// InitialEventsEnd is the annotation that marks the bookmark after the initial events.
const InitialEventsEnd = metav1.InitialEventsAnnotationKey
