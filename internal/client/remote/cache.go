package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// syncWait is how long Sync waits for a server that reports progress on request, before it lists anew.
const syncWait = 2 * time.Second

// cache is a live image of a selection. Each publication adds a link to a chain; followers walk along it.
type cache struct {
	client *Client
	sel    client.Selection
	res    *api.Resource

	head atomic.Pointer[link]
	// relist asks the filling loop to begin anew.
	relist chan struct{}

	mu sync.Mutex
	// err is why the last attempt to fill failed; nil when it did not.
	err error
	// recent are the newest links, so that links far behind can be cut loose.
	recent []*link
}

// link is one published state, and what led to it from the one before.
type link struct {
	image  *image
	events []client.Event
	// ready is closed when next is set.
	ready chan struct{}
	next  atomic.Pointer[link]
	// cut tells that followers standing here must compare images: the links between are gone.
	cut atomic.Bool
}

// keepLinks is how many publications a follower may lag before it gets merged events.
const keepLinks = 256

func newCache(c *Client, sel client.Selection, res *api.Resource) *cache {
	k := &cache{client: c, sel: sel, res: res, relist: make(chan struct{}, 1)}
	k.head.Store(&link{image: newImage(), ready: make(chan struct{})})
	return k
}

// publish makes a new state visible. Only the filling loop calls it.
func (k *cache) publish(next *image, events []client.Event) {
	last := k.head.Load()
	l := &link{image: next, events: events, ready: make(chan struct{})}
	k.mu.Lock()
	k.recent = append(k.recent, last)
	if len(k.recent) > keepLinks {
		old := k.recent[0]
		k.recent[0] = nil
		k.recent = k.recent[1:]
		old.cut.Store(true)
		old.next.Store(nil)
	}
	k.mu.Unlock()
	last.next.Store(l)
	k.head.Store(l)
	close(last.ready)
}

// Snapshot implements client.Cache.
func (k *cache) Snapshot() client.Snapshot { return k.head.Load().image }

// WaitFor implements client.Cache.
func (k *cache) WaitFor(ctx context.Context, revision int64) error {
	for {
		l := k.head.Load()
		if l.image.revision >= revision && l.image.revision > 0 {
			return nil
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			err := errors.Join(ctx.Err(), k.failure())
			return fmt.Errorf("waiting for %s to reach revision %d: %w", k.sel.Resource, revision, err)
		}
	}
}

func (k *cache) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Sync implements client.Cache: it learns the revision of a consistent read and waits for it. A server that reports no
// progress in time makes the cache list anew.
func (k *cache) Sync(ctx context.Context) error {
	revision, err := k.current(ctx)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, syncWait)
	err = k.WaitFor(wait, revision)
	cancel()
	if err == nil || ctx.Err() != nil {
		return err
	}
	select {
	case k.relist <- struct{}{}:
	default:
	}
	return k.WaitFor(ctx, revision)
}

// current makes the cheapest consistent read of the selection's resource there is, and asks the server to tell watches how
// far they are.
func (k *cache) current(ctx context.Context) (int64, error) {
	kd, err := k.client.kind(ctx, k.sel.Resource)
	if err != nil {
		return 0, err
	}
	query := selectors(k.sel.LabelSelector, k.sel.FieldSelector)
	query.Set("limit", "1")
	query.Set("requestProgress", "true")
	resp, err := k.client.do(ctx, http.MethodGet, kd.path(k.sel.Namespace, "", ""), query, metadataList(), nil)
	if err != nil {
		return 0, err
	}
	obj, err := k.client.answer(resp, nil)
	if err != nil {
		return 0, fmt.Errorf("reading the revision of %s: %w", k.sel.Resource, err)
	}
	list, ok := obj.(metav1.ListInterface)
	if !ok {
		return 0, fmt.Errorf("reading the revision of %s: got a %T", k.sel.Resource, obj)
	}
	return strconv.ParseInt(list.GetResourceVersion(), 10, 64)
}

func metadataList() http.Header {
	return http.Header{"Accept": {"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}}
}

// Follow implements client.Cache.
func (k *cache) Follow() (client.Snapshot, client.Stream) {
	at := k.head.Load()
	return at.image, &stream{cache: k, at: at}
}

// stream walks along the chain of states.
type stream struct {
	cache *cache
	at    *link
}

// Next implements client.Stream.
func (s *stream) Next(ctx context.Context) ([]client.Event, error) {
	for {
		select {
		case <-s.at.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		events := s.advance()
		if len(events) > 0 {
			return events, nil
		}
	}
}

// advance goes one link on, or to the newest one when the links between are gone.
func (s *stream) advance() []client.Event {
	next := s.at.next.Load()
	if next == nil || s.at.cut.Load() {
		from := s.at
		s.at = s.cache.head.Load()
		return diff(from.image, s.at.image)
	}
	s.at = next
	return next.events
}

// Close implements client.Stream.
func (s *stream) Close() {}

// diff returns what changed between two states.
func diff(old, now *image) []client.Event {
	var events []client.Event
	now.objects.Ascend(func(r row) bool {
		was, had := old.objects.Get(row{namespace: r.namespace, name: r.name})
		switch {
		case !had:
			events = append(events, client.Event{Type: client.Added, Object: r.obj})
		case was.obj.GetUID() != r.obj.GetUID():
			events = append(events,
				client.Event{Type: client.Deleted, Object: was.obj, Old: was.obj},
				client.Event{Type: client.Added, Object: r.obj})
		case was.obj != r.obj && was.obj.GetResourceVersion() != r.obj.GetResourceVersion():
			events = append(events, client.Event{Type: client.Modified, Object: r.obj, Old: was.obj})
		}
		return true
	})
	old.objects.Ascend(func(r row) bool {
		if !now.objects.Has(row{namespace: r.namespace, name: r.name}) {
			events = append(events, client.Event{Type: client.Deleted, Object: r.obj, Old: r.obj})
		}
		return true
	})
	return events
}

func isPartial(obj api.Object) bool {
	_, ok := obj.(*metav1.PartialObjectMetadata)
	return ok
}
