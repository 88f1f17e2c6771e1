package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/client"
)

// Times between attempts to fill a cache.
const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// watchTime is how long a watch is asked to last; the true time lies between this and twice as much.
	watchTime = 5 * time.Minute
	// applyAtOnce is how many events are put into one publication at most.
	applyAtOnce = 512
)

// errRelist ends a watch because the cache has to begin anew.
var errRelist = errors.New("listing anew")

// fill keeps the cache alive until ctx ends.
func (k *cache) fill(ctx context.Context) {
	delay := firstDelay
	whole := false // the image is a state that a watch can go on from
	for ctx.Err() == nil {
		progress, err := k.once(ctx, whole)
		if progress {
			delay = firstDelay
		}
		whole = !needsList(err) && k.head.Load().image.revision > 0
		k.note(ctx, err)
		if err == nil || errors.Is(err, errRelist) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			continue // a watch that came to its end, or one that must begin anew at once
		}
		wait := time.Duration(float64(delay) * (1 + k.client.cfg.Jitter()))
		delay = min(delay*2, maxDelay)
		k.client.pause(ctx, wait)
	}
}

// pause waits, or until ctx ends.
func (c *Client) pause(ctx context.Context, wait time.Duration) {
	timer := c.cfg.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// needsList tells whether an error means that the next attempt can't go on from the image.
func needsList(err error) bool {
	return errors.Is(err, errRelist) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err)
}

func (k *cache) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && (k.err == nil || k.err.Error() != err.Error()) {
		k.client.log.Warn("filling a cache failed", "resource", k.sel.Resource.String(), "error", err)
	}
	k.err = err
}

// once fills the image if it is not whole, and follows the server until the watch ends. Progress tells that the server
// answered.
func (k *cache) once(ctx context.Context, whole bool) (progress bool, err error) {
	kd, err := k.client.kind(ctx, k.sel.Resource)
	if err != nil {
		return false, err
	}
	if !whole {
		select {
		case <-k.relist:
		default:
		}
		err := k.watchList(ctx, kd)
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
			return err == nil || k.head.Load().image.revision > 0, err
		}
		// A server that does not stream lists.
		if err := k.list(ctx, kd); err != nil {
			return false, err
		}
	}
	query := k.watchQuery()
	query.Set("resourceVersion", strconv.FormatInt(k.head.Load().image.revision, 10))
	return k.follow(ctx, kd, query, nil)
}

func (k *cache) watchQuery() url.Values {
	query := selectors(k.sel.LabelSelector, k.sel.FieldSelector)
	query.Set("watch", "true")
	query.Set("allowWatchBookmarks", "true")
	query.Set("progressOnRead", "true")
	seconds := watchTime.Seconds() * (1 + k.client.cfg.Jitter())
	query.Set("timeoutSeconds", strconv.Itoa(int(seconds)))
	return query
}

// watchList fills a new image from a watch that begins with the current state, publishes it, and goes on with the watch.
func (k *cache) watchList(ctx context.Context, kd kind) error {
	query := k.watchQuery()
	query.Set("sendInitialEvents", "true")
	query.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
	_, err := k.follow(ctx, kd, query, newImage())
	return err
}

// list fills a new image page by page and publishes it.
func (k *cache) list(ctx context.Context, kd kind) error {
	fresh := newImage()
	token := ""
	for {
		query := selectors(k.sel.LabelSelector, k.sel.FieldSelector)
		query.Set("limit", "500")
		if token != "" {
			query.Set("continue", token)
		}
		resp, err := k.client.do(ctx, http.MethodGet, kd.path(k.sel.Namespace, "", ""), query, k.acceptHeader(kd, true), nil)
		if err != nil {
			return err
		}
		var into runtime.Object = &metav1.PartialObjectMetadataList{}
		if !k.sel.MetadataOnly {
			into = kd.ver.NewList()
		}
		obj, err := k.client.answer(resp, into)
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.sel.Resource, err)
		}
		items, listMeta, err := kd.items(obj)
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.sel.Resource, err)
		}
		for _, o := range items {
			fresh.set(k.res, o)
		}
		if token = listMeta.GetContinue(); token != "" {
			continue
		}
		if fresh.revision, err = strconv.ParseInt(listMeta.GetResourceVersion(), 10, 64); err != nil {
			return fmt.Errorf("listing %s: resource version: %w", k.sel.Resource, err)
		}
		k.publish(fresh, diff(k.head.Load().image, fresh))
		return nil
	}
}

// acceptHeader asks for whole objects or metadata alone.
func (k *cache) acceptHeader(kd kind, list bool) http.Header {
	if !k.sel.MetadataOnly {
		return http.Header{"Accept": {kd.accept()}}
	}
	as := ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	if list {
		as = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	}
	accept := runtime.ContentTypeJSON + as
	if kd.res != nil && kd.protobuf() {
		accept = runtime.ContentTypeProtobuf + as + "," + accept
	}
	return http.Header{"Accept": {accept}}
}

// follow reads one watch to its end. With fresh not nil the events up to the bookmark that ends the initial ones build that
// image, which is then published. Progress tells that at least one event came.
func (k *cache) follow(ctx context.Context, kd kind, query url.Values, fresh *image) (progress bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	path := kd.path(k.sel.Namespace, "", "")
	resp, err := k.client.do(ctx, http.MethodGet, path, query, k.acceptHeader(kd, false), nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var into func() runtime.Object
	if k.sel.MetadataOnly {
		into = func() runtime.Object { return &metav1.PartialObjectMetadata{} }
	} else {
		into = kd.ver.New
	}
	events := make(chan watchEvent, applyAtOnce)
	ended := make(chan error, 1)
	go func() {
		ended <- k.client.readWatch(ctx, resp, into, events)
		close(events)
	}()
	a := applier{cache: k, kind: kd, fresh: fresh}
	for {
		select {
		case <-k.relist:
			cancel(errRelist)
			for range events { // the reader ends with its context
			}
			return progress, errRelist
		case ev, ok := <-events:
			if !ok {
				return progress, endOf(ctx, <-ended)
			}
			progress = true
			if err := a.apply(ev, events); err != nil {
				cancel(err)
				for range events { // as above
				}
				return progress, err
			}
		}
	}
}

// endOf tells a watch that came to its end from one that broke.
func endOf(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// applier puts the events of a watch into the image.
type applier struct {
	cache *cache
	kind  kind
	// fresh is the image under construction until the initial events have ended.
	fresh *image
}

// apply takes an event and all that already wait behind it into one publication.
func (a *applier) apply(first watchEvent, more <-chan watchEvent) error {
	next := a.fresh
	if next == nil {
		next = a.cache.head.Load().image.edit()
	}
	var events []client.Event
	ev := first
	for n := 1; ; n++ {
		whole, err := a.one(next, ev, &events)
		if err != nil {
			return err
		}
		if whole {
			a.fresh = nil
			a.cache.publish(next, diff(a.cache.head.Load().image, next))
			next, events = next.edit(), nil
		}
		var ok bool
		if n == applyAtOnce {
			break
		}
		if ev, ok = tryNext(more); !ok {
			break
		}
	}
	if a.fresh == nil && (len(events) > 0 || next.revision > a.cache.head.Load().image.revision) {
		a.cache.publish(next, events)
	}
	return nil
}

func tryNext(events <-chan watchEvent) (watchEvent, bool) {
	select {
	case ev, ok := <-events:
		return ev, ok
	default:
		return watchEvent{}, false
	}
}

// one puts one event into an image. Whole tells that it ended the initial events.
func (a *applier) one(m *image, ev watchEvent, events *[]client.Event) (whole bool, err error) {
	if status, ok := ev.object.(*metav1.Status); ok {
		return false, &apierrors.StatusError{ErrStatus: *status}
	}
	obj, err := a.kind.stored(ev.object)
	if err != nil {
		return false, err
	}
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return false, fmt.Errorf("watching %s: resource version: %w", a.cache.sel.Resource, err)
	}
	switch ev.kind {
	case "BOOKMARK":
		m.revision = max(m.revision, revision)
		return a.fresh != nil && obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true", nil
	case "DELETED":
		if old, had := m.remove(a.cache.res, obj.GetNamespace(), obj.GetName()); had {
			*events = append(*events, client.Event{Type: client.Deleted, Object: obj, Old: old})
		}
	default:
		old, had := m.set(a.cache.res, obj)
		switch {
		case !had:
			*events = append(*events, client.Event{Type: client.Added, Object: obj})
		default:
			*events = append(*events, client.Event{Type: client.Modified, Object: obj, Old: old})
		}
	}
	if a.fresh == nil {
		m.revision = max(m.revision, revision)
	}
	return false, nil
}
