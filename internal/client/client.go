package client

import (
	"context"
	"io"
	"iter"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
)

// Interface reads and writes API objects as one identity. Safe for concurrent use.
type Interface interface {
	// Get reads one object consistently: the result is at least as new as anything acknowledged before the call.
	Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error)
	// List reads consistently. Prefer a Cache for anything that is read often.
	List(ctx context.Context, gr schema.GroupResource, opts ListOptions) (*List, error)
	// Write performs one write and returns the object as stored (for a delete: the last state, or nil when the server
	// answered with a Status; for a subresource: what it returned).
	Write(ctx context.Context, w Write) (runtime.Object, error)
	// Cache returns a live cache of the selected objects, shared between callers that ask for the same. It is filled in the
	// background; Cache.Sync waits.
	Cache(sel Selection) (Cache, error)
	// Raw performs a request that is no object call (log, exec, proxy, /version). The caller closes the body.
	Raw(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error)
	// Catalogue returns the resources this client knows.
	Catalogue() *api.Catalogue
}

// ListOptions narrow a List.
type ListOptions struct {
	Namespace     string // empty: all
	LabelSelector string
	FieldSelector string
	Limit         int64
	Continue      string
}

// List is what Interface.List returns.
type List struct {
	Revision int64
	Continue string
	Items    []api.Object
}

// Verb of a Write.
type Verb string

// The verbs of writes, named as RBAC names them.
const (
	Create           Verb = "create"
	Update           Verb = "update"
	Patch            Verb = "patch"
	Delete           Verb = "delete"
	DeleteCollection Verb = "deletecollection"
)

// Write is one write as a value. Which fields matter depends on the verb.
type Write struct {
	Verb        Verb
	Resource    schema.GroupResource
	Subresource string
	Namespace   string
	Name        string
	// Object is what is created or updated (of the resource's stored type, or the subresource's).
	Object runtime.Object
	// PatchType and PatchData are the body of a patch; Force and FieldManager matter for server-side apply.
	PatchType    types.PatchType
	PatchData    []byte
	FieldManager string
	Force        bool
	DryRun       bool
	// Delete holds preconditions, grace and propagation of a delete.
	Delete metav1.DeleteOptions
	// Selector narrows a deletecollection.
	Selector ListOptions
}

// Selection names the objects of a cache. Comparable; equal selections share a cache.
type Selection struct {
	Resource      schema.GroupResource
	Namespace     string // empty: all
	LabelSelector string
	FieldSelector string
	// MetadataOnly caches *metav1.PartialObjectMetadata instead of whole objects (any served kind, known to the catalogue
	// or not).
	MetadataOnly bool
}

// Cache is a live image of a selection. Safe for concurrent use.
type Cache interface {
	// Snapshot returns the newest state. Before the first Sync succeeded it may be empty with revision 0.
	Snapshot() Snapshot
	// Sync makes a consistent read and waits until the snapshot is at least as new.
	Sync(ctx context.Context) error
	// WaitFor waits until the snapshot has reached the revision (of this resource).
	WaitFor(ctx context.Context, revision int64) error
	// Follow starts a stream of changes that begins with the returned snapshot. Streams never break: a reader that falls
	// behind gets fewer, merged events (the difference between two snapshots).
	Follow() (Snapshot, Stream)
}

// Snapshot is a selection at one revision. Immutable.
type Snapshot interface {
	Revision() int64
	Get(namespace, name string) (api.Object, bool)
	// All yields the objects of a namespace (empty: all) by namespace and name.
	All(namespace string) iter.Seq[api.Object]
	// Index yields the objects whose index (see api.Resource.Indexes) has the value.
	Index(name, value string) iter.Seq[api.Object]
	Len() int
}

// EventType says what happened to an object.
type EventType int

// The types of Event.
const (
	Added EventType = iota + 1
	Modified
	Deleted
)

// Event is one change of one object. Old is nil for Added; for Deleted both are the last known state.
type Event struct {
	Type   EventType
	Object api.Object
	Old    api.Object
}

// Stream delivers changes. One reader at a time.
type Stream interface {
	// Next blocks until something changed or ctx ends. When it returns, Cache.Snapshot is at least as new as the events.
	Next(ctx context.Context) ([]Event, error)
	Close()
}

// Get reads one object as its Go type.
func Get[T api.Object](ctx context.Context, c Interface, gr schema.GroupResource, namespace, name string) (T, error) {
	var zero T
	obj, err := c.Get(ctx, gr, namespace, name)
	if err != nil {
		return zero, err
	}
	t, ok := obj.(T)
	if !ok {
		return zero, &TypeError{Resource: gr, Got: obj}
	}
	return t, nil
}

// TypeError says that an object does not have the Go type its resource should have.
type TypeError struct {
	Resource schema.GroupResource
	Got      runtime.Object
}

func (e *TypeError) Error() string {
	return "object of " + e.Resource.String() + " has an unexpected Go type " + e.Got.GetObjectKind().GroupVersionKind().String()
}
