package local

import (
	"context"
	"errors"
	"fmt"
	"iter"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

// cache is a client.Cache that looks at the store's image.
type cache struct {
	client *Client
	source chain.Source
	filter chain.Filter
	sel    client.Selection
	prefix string
}

// Cache implements client.Interface. It keeps nothing of its own.
func (c *Client) Cache(sel client.Selection) (client.Cache, error) {
	res, ok := c.chain.Catalogue().Resource(sel.Resource)
	if !ok {
		return nil, apierrors.NewNotFound(sel.Resource, "")
	}
	filter, err := c.chain.Filter(res, sel.LabelSelector, sel.FieldSelector)
	if err != nil {
		return nil, err
	}
	// Opening the collection belongs to no call in particular: whoever comes next finds it open.
	source, err := c.chain.Source(context.Background(), res)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", sel.Resource, err)
	}
	return &cache{client: c, source: source, filter: filter, sel: sel, prefix: source.Key(sel.Namespace, "")}, nil
}

// Snapshot implements client.Cache.
func (c *cache) Snapshot() client.Snapshot { return c.wrap(c.source.Collection.Snapshot()) }

func (c *cache) wrap(s store.Snapshot) *snapshot { return &snapshot{cache: c, snap: s} }

// Sync implements client.Cache. It also is where a caller that may not read learns so.
func (c *cache) Sync(ctx context.Context) error {
	for _, verb := range []string{"list", "watch"} {
		call, err := c.client.call(verb, c.sel.Resource, "", c.sel.Namespace, "")
		if err != nil {
			return err
		}
		call.LabelSelector, call.FieldSelector = c.sel.LabelSelector, c.sel.FieldSelector
		if err := c.client.chain.Authorize(ctx, &call.Attributes); err != nil {
			return err
		}
	}
	_, err := c.client.chain.Store().Current(ctx)
	return err
}

// WaitFor implements client.Cache.
func (c *cache) WaitFor(ctx context.Context, revision int64) error {
	return c.client.chain.Store().WaitFor(ctx, revision)
}

// Follow implements client.Cache.
func (c *cache) Follow() (client.Snapshot, client.Stream) {
	snap, stream := c.follow()
	return c.wrap(snap), newStream(c, snap, stream)
}

// follow takes a snapshot and the store's stream from there on.
func (c *cache) follow() (store.Snapshot, store.Stream) {
	for {
		snap := c.source.Collection.Snapshot()
		stream, err := c.source.Collection.Follow(context.Background(), c.prefix, snap.Revision())
		if err == nil {
			return snap, stream
		}
		if !errors.Is(err, store.ErrCompacted) {
			return snap, brokenStream{err}
		}
	}
}

// brokenStream stands for a stream that could not be started: the store is closed.
type brokenStream struct{ err error }

func (b brokenStream) Next(context.Context) ([]store.Event, error) { return nil, b.err }
func (brokenStream) Progress() int64                               { return 0 }
func (brokenStream) Close()                                        {}

// object decodes an entry, as metadata alone where that was asked for.
func (c *cache) object(e store.Entry) (api.Object, error) {
	obj, err := c.source.Collection.Object(e)
	if err != nil {
		return nil, err
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%s: %T has no object metadata", e.Key, obj)
	}
	return o, nil
}

func (c *cache) shown(obj api.Object) api.Object {
	if c.sel.MetadataOnly {
		return chain.Partial(obj)
	}
	return obj
}

// snapshot is a client.Snapshot over the store's.
type snapshot struct {
	cache *cache
	snap  store.Snapshot
}

func (s *snapshot) Revision() int64 { return s.snap.Revision() }

// see decodes an entry and tells whether the selection shows it. What can't be decoded is not shown.
func (s *snapshot) see(e store.Entry) (api.Object, bool) {
	obj, err := s.cache.object(e)
	if err != nil || !s.cache.filter.Matches(obj) {
		return nil, false
	}
	return s.cache.shown(obj), true
}

func (s *snapshot) Get(namespace, name string) (api.Object, bool) {
	if s.cache.sel.Namespace != "" && namespace != s.cache.sel.Namespace {
		return nil, false
	}
	e, ok := s.snap.Get(s.cache.source.Key(namespace, name))
	if !ok {
		return nil, false
	}
	return s.see(e)
}

func (s *snapshot) All(namespace string) iter.Seq[api.Object] {
	prefix := s.cache.prefix
	if namespace != "" {
		if s.cache.sel.Namespace != "" && namespace != s.cache.sel.Namespace {
			return func(func(api.Object) bool) {}
		}
		prefix = s.cache.source.Key(namespace, "")
	}
	return s.seen(s.cache.source.Candidates(s.snap, s.cache.filter, prefix))
}

func (s *snapshot) Index(name, value string) iter.Seq[api.Object] {
	return s.seen(chain.WithPrefix(s.snap.Index(name, value), s.cache.prefix))
}

func (s *snapshot) seen(entries iter.Seq[store.Entry]) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		for e := range entries {
			if obj, ok := s.see(e); ok && !yield(obj) {
				return
			}
		}
	}
}

func (s *snapshot) Len() int {
	if s.cache.filter.Empty() {
		return s.snap.Len(s.cache.prefix)
	}
	n := 0
	for range s.All("") {
		n++
	}
	return n
}
