package nettest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Client is a client.Interface whose caches hold what the test puts into them. It offers caches only, and of the indexes only
// the one of endpoint slices by service. Safe for concurrent use.
type Client struct {
	mu     sync.Mutex
	caches map[schema.GroupResource]*Cache
}

// NewClient returns a client with empty caches.
func NewClient() *Client { return &Client{caches: map[schema.GroupResource]*Cache{}} }

// Of returns the cache of a resource, named as "services" or "endpointslices.discovery.k8s.io".
func (c *Client) Of(resource string) *Cache {
	c.mu.Lock()
	defer c.mu.Unlock()
	gr := schema.ParseGroupResource(resource)
	if c.caches[gr] == nil {
		c.caches[gr] = &Cache{changed: make(chan struct{})}
	}
	return c.caches[gr]
}

// Cache implements client.Interface. Selectors are not applied.
func (c *Client) Cache(sel client.Selection) (client.Cache, error) {
	return c.Of(sel.Resource.String()), nil
}

var errCachesOnly = errors.New("this client has caches only")

// Get is not offered.
func (c *Client) Get(context.Context, schema.GroupResource, string, string) (api.Object, error) {
	return nil, errCachesOnly
}

// List is not offered.
func (c *Client) List(context.Context, schema.GroupResource, client.ListOptions) (*client.List, error) {
	return nil, errCachesOnly
}

// Write is not offered.
func (c *Client) Write(context.Context, client.Write) (runtime.Object, error) {
	return nil, errCachesOnly
}

// Raw is not offered.
func (c *Client) Raw(context.Context, string, string, http.Header, io.Reader) (*http.Response, error) {
	return nil, errCachesOnly
}

// Catalogue is not offered.
func (c *Client) Catalogue() *api.Catalogue { return nil }

// Cache is a cache filled by hand.
type Cache struct {
	mu      sync.Mutex
	rev     int64
	objs    []api.Object // sorted by namespace and name; replaced, never changed
	log     []client.Event
	changed chan struct{}
	snap    *snapshot // of now; nil until someone asks
}

// now returns the snapshot. The caller holds the lock.
func (c *Cache) now() *snapshot {
	if c.snap == nil || c.snap.rev != c.rev {
		c.snap = &snapshot{rev: c.rev, objs: c.objs}
	}
	return c.snap
}

// Put adds or replaces objects.
func (c *Cache) Put(objs ...api.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range objs {
		next := slices.Clone(c.objs)
		e := client.Event{Type: client.Added, Object: o}
		i, found := slices.BinarySearchFunc(next, o, compare)
		if found {
			e.Type, e.Old = client.Modified, next[i]
			next[i] = o
		} else {
			next = slices.Insert(next, i, o)
		}
		c.objs, c.log = next, append(c.log, e)
		c.rev++
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Delete removes objects.
func (c *Cache) Delete(objs ...api.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range objs {
		i, found := slices.BinarySearchFunc(c.objs, o, compare)
		if !found {
			continue
		}
		c.log = append(c.log, client.Event{Type: client.Deleted, Object: c.objs[i], Old: c.objs[i]})
		c.objs = slices.Delete(slices.Clone(c.objs), i, i+1)
		c.rev++
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func compare(a, b api.Object) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// Snapshot implements client.Cache.
func (c *Cache) Snapshot() client.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// Sync implements client.Cache: there is nothing to wait for.
func (c *Cache) Sync(ctx context.Context) error { return ctx.Err() }

// WaitFor implements client.Cache.
func (c *Cache) WaitFor(ctx context.Context, _ int64) error { return ctx.Err() }

// Follow implements client.Cache.
func (c *Cache) Follow() (client.Snapshot, client.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(), &stream{c: c, at: len(c.log)}
}

type stream struct {
	c  *Cache
	at int
}

func (s *stream) Next(ctx context.Context) ([]client.Event, error) {
	for {
		s.c.mu.Lock()
		events, changed := s.c.log[s.at:], s.c.changed
		s.at = len(s.c.log)
		s.c.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

func (s *stream) Close() {}

type snapshot struct {
	rev  int64
	objs []api.Object
	// byService is the index, made on first use.
	once      sync.Once
	byService map[string][]api.Object
}

func (s *snapshot) Revision() int64 { return s.rev }
func (s *snapshot) Len() int        { return len(s.objs) }

func (s *snapshot) Get(namespace, name string) (api.Object, bool) {
	i, ok := slices.BinarySearchFunc(s.objs, [2]string{namespace, name}, func(o api.Object, key [2]string) int {
		return cmp.Or(cmp.Compare(o.GetNamespace(), key[0]), cmp.Compare(o.GetName(), key[1]))
	})
	if !ok {
		return nil, false
	}
	return s.objs[i], true
}

func (s *snapshot) All(namespace string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		for _, o := range s.objs {
			if (namespace == "" || o.GetNamespace() == namespace) && !yield(o) {
				return
			}
		}
	}
}

func (s *snapshot) Index(name, value string) iter.Seq[api.Object] {
	s.once.Do(func() {
		s.byService = map[string][]api.Object{}
		for _, o := range s.objs {
			key := o.GetNamespace() + "/" + o.GetLabels()["kubernetes.io/service-name"]
			s.byService[key] = append(s.byService[key], o)
		}
	})
	if name != api.IndexService {
		return slices.Values([]api.Object(nil))
	}
	return slices.Values(s.byService[value])
}
