package clientfake

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/btree"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

type matcher func(r *api.Resource, obj api.Object) bool

func newMatcher(namespace, labelSelector, fieldSelector string) (matcher, error) {
	byLabel, err := labels.Parse(labelSelector)
	if err != nil {
		return nil, fmt.Errorf("parsing label selector: %w", err)
	}
	byField, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return nil, fmt.Errorf("parsing field selector: %w", err)
	}
	return func(r *api.Resource, obj api.Object) bool {
		return (namespace == "" || obj.GetNamespace() == namespace) &&
			byLabel.Matches(labels.Set(obj.GetLabels())) &&
			(byField.Empty() || byField.Matches(selectable(r, obj)))
	}, nil
}

func selectable(r *api.Resource, obj api.Object) fields.Set {
	if r.SelectableFields != nil {
		return r.SelectableFields(obj)
	}
	set := fields.Set{"metadata.name": obj.GetName(), "metadata.namespace": obj.GetNamespace()}
	switch o := obj.(type) {
	case *corev1.Pod:
		set["spec.nodeName"], set["status.phase"] = o.Spec.NodeName, string(o.Status.Phase)
	case *corev1.Secret:
		set["type"] = string(o.Type)
	}
	return set
}

// Cache implements client.Interface.
func (c *Client) Cache(sel client.Selection) (client.Cache, error) {
	match, err := newMatcher(sel.Namespace, sel.LabelSelector, sel.FieldSelector)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared, ok := c.caches[sel]; ok {
		return shared, nil
	}
	col, err := c.find(sel.Resource)
	if err != nil {
		return nil, err
	}
	made := &cache{c: c, col: col, match: match, metadataOnly: sel.MetadataOnly}
	c.caches[sel] = made
	return made, nil
}

type cache struct {
	c            *Client
	col          *collection
	match        matcher
	metadataOnly bool
}

func (k *cache) Snapshot() client.Snapshot {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return k.snapshot()
}

func (k *cache) snapshot() *snapshot {
	return &snapshot{cache: k, tree: k.col.shown, revision: k.col.shownRev}
}

func (k *cache) Sync(ctx context.Context) error { return k.WaitFor(ctx, k.c.Revision()) }

func (k *cache) WaitFor(ctx context.Context, revision int64) error {
	for {
		k.c.mu.Lock()
		reached, changed := k.col.shownRev >= revision || (!k.col.paused && k.col.liveRev < revision), k.col.changed
		k.c.mu.Unlock()
		if reached {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (k *cache) Follow() (client.Snapshot, client.Stream) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	s := k.snapshot()
	return s, &stream{cache: k, last: s}
}

// snapshot filters the collection's tree as it reads; its indexes are scans.
type snapshot struct {
	cache    *cache
	tree     *btree.BTreeG[row]
	revision int64
}

func (s *snapshot) Revision() int64 { return s.revision }

func (s *snapshot) Get(namespace, name string) (api.Object, bool) {
	found, ok := s.tree.Get(row{key: key(namespace, name)})
	if !ok || !s.cache.match(s.cache.col.resource, found.obj) {
		return nil, false
	}
	return s.cache.present(found.obj), true
}

func (s *snapshot) All(namespace string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		s.rows(func(obj api.Object) bool {
			return (namespace != "" && obj.GetNamespace() != namespace) || yield(s.cache.present(obj))
		})
	}
}

func (s *snapshot) Index(name, value string) iter.Seq[api.Object] {
	index := s.cache.col.resource.Indexes[name]
	return func(yield func(api.Object) bool) {
		if index == nil {
			return
		}
		s.rows(func(obj api.Object) bool {
			for _, v := range index(obj) {
				if v == value {
					return yield(s.cache.present(obj))
				}
			}
			return true
		})
	}
}

func (s *snapshot) Len() int {
	n := 0
	s.rows(func(api.Object) bool { n++; return true })
	return n
}

// rows visits the matching objects as stored until f returns false.
func (s *snapshot) rows(f func(api.Object) bool) {
	s.tree.Ascend(func(r row) bool {
		return !s.cache.match(s.cache.col.resource, r.obj) || f(r.obj)
	})
}

// present gives the object the form the selection asked for.
func (k *cache) present(obj api.Object) api.Object {
	if !k.metadataOnly {
		return obj
	}
	partial := &metav1.PartialObjectMetadata{}
	partial.SetGroupVersionKind(k.col.resource.StoredGVK())
	switch o := obj.DeepCopyObject().(type) {
	case metav1.ObjectMetaAccessor:
		if m, ok := o.GetObjectMeta().(*metav1.ObjectMeta); ok {
			partial.ObjectMeta = *m
		}
	}
	return partial
}

// stream remembers the snapshot it delivered last and gives the difference to the newest.
type stream struct {
	cache  *cache
	last   *snapshot
	closed bool
}

func (s *stream) Close() { s.closed = true }

func (s *stream) Next(ctx context.Context) ([]client.Event, error) {
	if s.closed {
		return nil, fmt.Errorf("reading %s: stream is closed", s.cache.col.resource.Plural)
	}
	for {
		s.cache.c.mu.Lock()
		newest, changed := s.cache.snapshot(), s.cache.col.changed
		s.cache.c.mu.Unlock()
		events := difference(s.last, newest)
		s.last = newest
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

// difference lists what changed from one snapshot to a later one: deletions by key, then the rest by key.
func difference(from, to *snapshot) []client.Event {
	if from.tree == to.tree {
		return nil
	}
	var events []client.Event
	from.rows(func(old api.Object) bool {
		found, ok := to.tree.Get(row{key: key(old.GetNamespace(), old.GetName())})
		if !ok || found.obj.GetUID() != old.GetUID() || !to.cache.match(to.cache.col.resource, found.obj) {
			gone := to.cache.present(old)
			events = append(events, client.Event{Type: client.Deleted, Object: gone, Old: gone})
		}
		return true
	})
	to.rows(func(obj api.Object) bool {
		found, ok := from.tree.Get(row{key: key(obj.GetNamespace(), obj.GetName())})
		switch {
		case ok && found.obj == obj:
		case ok && found.obj.GetUID() == obj.GetUID() && from.cache.match(from.cache.col.resource, found.obj):
			events = append(events, client.Event{
				Type: client.Modified, Object: to.cache.present(obj), Old: to.cache.present(found.obj),
			})
		default:
			events = append(events, client.Event{Type: client.Added, Object: to.cache.present(obj)})
		}
		return true
	})
	return events
}
