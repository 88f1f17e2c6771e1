package clientfake

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Client is the fake. Safe for concurrent use.
type Client struct {
	catalogue *api.Catalogue

	mu          sync.Mutex
	now         func() time.Time
	revision    int64
	counter     int64
	collections map[schema.GroupResource]*collection
	caches      map[client.Selection]*cache
	writes      []client.Write
	intercept   func(client.Write) (runtime.Object, bool, error)
	raw         func(method, path string) (*http.Response, error)
}

// collection is one resource's objects. live is the truth; shown is what caches see, the same unless paused.
type collection struct {
	resource *api.Resource
	live     *btree.BTreeG[row]
	liveRev  int64
	shown    *btree.BTreeG[row]
	shownRev int64
	paused   bool
	changed  chan struct{} // closed and replaced when shown moves
}

type row struct {
	key string
	obj api.Object
}

func key(namespace, name string) string { return namespace + "\x00" + name }

func newTree() *btree.BTreeG[row] {
	return btree.NewG(8, func(a, b row) bool { return a.key < b.key })
}

// New returns a fake with the objects preloaded, each at a resource version of its own. Objects without a UID get one. A nil
// catalogue means Catalogue().
func New(catalogue *api.Catalogue, objects ...api.Object) *Client {
	if catalogue == nil {
		catalogue = Catalogue()
	}
	c := &Client{
		catalogue:   catalogue,
		now:         func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) },
		collections: map[schema.GroupResource]*collection{},
		caches:      map[client.Selection]*cache{},
	}
	for _, obj := range objects {
		c.Load(obj)
	}
	return c
}

// SetClock replaces the clock that stamps creation and deletion times (a fixed date at first).
func (c *Client) SetClock(now func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Load puts an object in as it is, replacing one of the same name, without counting as a write. It panics on an object whose
// kind the catalogue does not have.
func (c *Client) Load(obj api.Object) {
	r, ok := c.catalogue.ForObject(obj)
	if !ok {
		panic(fmt.Sprintf("clientfake: no resource for %T", obj))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(c.collection(r.GroupResource(), r), obj.DeepCopyObject().(api.Object))
}

// Remove takes an object out at once, finalizers or not, without counting as a write.
func (c *Client) Remove(gr schema.GroupResource, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if col, err := c.find(gr); err == nil {
		c.remove(col, key(namespace, name))
	}
}

// Intercept sets a function that sees every write first: when it returns true (or an error), its answer is the write's and
// nothing is stored. It runs without the fake's lock, so it may use the fake. Nil takes it away.
func (c *Client) Intercept(f func(client.Write) (answer runtime.Object, handled bool, err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intercept = f
}

// ServeRaw sets what Raw answers.
func (c *Client) ServeRaw(f func(method, path string) (*http.Response, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = f
}

// Writes returns every write so far, refused ones included, in order.
func (c *Client) Writes() []client.Write {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]client.Write(nil), c.writes...)
}

// ResetWrites forgets the record of writes.
func (c *Client) ResetWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = nil
}

// Pause freezes what caches of the resource show, as a watch that lags does. Get, List and writes go on. Sync and WaitFor
// block until Resume.
func (c *Client) Pause(gr schema.GroupResource) { c.setPaused(gr, true) }

// Resume ends Pause; caches catch up at once.
func (c *Client) Resume(gr schema.GroupResource) { c.setPaused(gr, false) }

func (c *Client) setPaused(gr schema.GroupResource, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	col, err := c.find(gr)
	if err != nil {
		panic(err)
	}
	col.paused = paused
	col.show(c.revision)
}

// Revision returns the revision of the last change.
func (c *Client) Revision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision
}

// Catalogue implements client.Interface.
func (c *Client) Catalogue() *api.Catalogue { return c.catalogue }

// Get implements client.Interface.
func (c *Client) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	col, err := c.find(gr)
	if err != nil {
		return nil, err
	}
	found, ok := col.live.Get(row{key: key(namespace, name)})
	if !ok {
		return nil, apierrors.NewNotFound(gr, name)
	}
	return found.obj, nil
}

// List implements client.Interface.
func (c *Client) List(ctx context.Context, gr schema.GroupResource, opts client.ListOptions) (*client.List, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	match, err := newMatcher(opts.Namespace, opts.LabelSelector, opts.FieldSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	col, err := c.find(gr)
	if err != nil {
		return nil, err
	}
	list := &client.List{Revision: c.revision}
	last := ""
	col.live.AscendGreaterOrEqual(row{key: opts.Continue}, func(item row) bool {
		if (opts.Continue != "" && item.key == opts.Continue) || !match(col.resource, item.obj) {
			return true
		}
		if opts.Limit > 0 && int64(len(list.Items)) == opts.Limit {
			list.Continue = last
			return false
		}
		list.Items = append(list.Items, item.obj)
		last = item.key
		return true
	})
	return list, nil
}

// Raw implements client.Interface: what ServeRaw was given, else 404.
func (c *Client) Raw(_ context.Context, method, path string, _ http.Header, _ io.Reader) (*http.Response, error) {
	c.mu.Lock()
	serve := c.raw
	c.mu.Unlock()
	if serve != nil {
		return serve(method, path)
	}
	return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(strings.NewReader("not found"))}, nil
}

func (c *Client) find(gr schema.GroupResource) (*collection, error) {
	if col, ok := c.collections[gr]; ok {
		return col, nil
	}
	r, ok := c.catalogue.Resource(gr)
	if !ok {
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "get", gr, "",
			"the server could not find the requested resource", 0, true)
	}
	return c.collection(gr, r), nil
}

func (c *Client) collection(gr schema.GroupResource, r *api.Resource) *collection {
	col, ok := c.collections[gr]
	if !ok {
		col = &collection{resource: r, live: newTree(), changed: make(chan struct{})}
		col.show(c.revision)
		c.collections[gr] = col
	}
	return col
}

// show makes caches see the live state, unless paused.
func (col *collection) show(revision int64) {
	if col.paused {
		return
	}
	col.shown, col.shownRev = col.live.Clone(), revision
	close(col.changed)
	col.changed = make(chan struct{})
}

// put stores obj at a new revision. obj belongs to the fake from now on.
func (c *Client) put(col *collection, obj api.Object) {
	c.revision++
	obj.SetResourceVersion(fmt.Sprint(c.revision))
	if obj.GetUID() == "" {
		obj.SetUID(c.nextUID())
	}
	col.live.ReplaceOrInsert(row{key: key(obj.GetNamespace(), obj.GetName()), obj: obj})
	col.liveRev = c.revision
	c.showAll()
}

func (c *Client) remove(col *collection, k string) {
	if _, ok := col.live.Delete(row{key: k}); ok {
		c.revision++
		col.liveRev = c.revision
		c.showAll()
	}
}

// showAll moves every cache to the current revision: revisions count over all resources.
func (c *Client) showAll() {
	for _, col := range c.collections {
		if col.liveRev == c.revision {
			col.show(c.revision)
		} else if !col.paused {
			col.shownRev = c.revision
		}
	}
}
