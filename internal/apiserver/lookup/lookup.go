package lookup

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Source is what a Reader needs of a client.Interface.
type Source interface {
	Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error)
	Cache(sel client.Selection) (client.Cache, error)
}

// Reader reads single objects and whole snapshots. Safe for concurrent use.
type Reader struct {
	source Source
}

// New returns a reader over the source.
func New(source Source) *Reader { return &Reader{source: source} }

// Get reads an object from the cache, and consistently when the cache does not have it: a cache may lag, and must not make an
// object that was just created look missing. The error is the API's own (NotFound and the like).
func (r *Reader) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	snapshot, err := r.Snapshot(gr)
	if err != nil {
		return nil, err
	}
	if obj, ok := snapshot.Get(namespace, name); ok {
		return obj, nil
	}
	return r.Fresh(ctx, gr, namespace, name)
}

// Fresh reads an object consistently.
func (r *Reader) Fresh(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	obj, err := r.source.Get(ctx, gr, namespace, name)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading %s %s/%s: %w", gr, namespace, name, err)
	}
	return obj, err
}

// Snapshot returns the newest cached state of all objects of a resource.
func (r *Reader) Snapshot(gr schema.GroupResource) (client.Snapshot, error) {
	cache, err := r.source.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, fmt.Errorf("opening cache of %s: %w", gr, err)
	}
	return cache.Snapshot(), nil
}

// Get reads an object as its Go type, as Reader.Get does.
func Get[T api.Object](ctx context.Context, r *Reader, gr schema.GroupResource, namespace, name string) (T, error) {
	obj, err := r.Get(ctx, gr, namespace, name)
	return as[T](gr, obj, err)
}

// Fresh reads an object as its Go type, consistently.
func Fresh[T api.Object](ctx context.Context, r *Reader, gr schema.GroupResource, namespace, name string) (T, error) {
	obj, err := r.Fresh(ctx, gr, namespace, name)
	return as[T](gr, obj, err)
}

func as[T api.Object](gr schema.GroupResource, obj api.Object, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	typed, ok := obj.(T)
	if !ok {
		return zero, &client.TypeError{Resource: gr, Got: obj}
	}
	return typed, nil
}

// Await reads an object and, when it is missing, waits for it to appear until ctx ends, which is a NotFound.
func (r *Reader) Await(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	obj, err := r.Get(ctx, gr, namespace, name)
	if !apierrors.IsNotFound(err) {
		return obj, err
	}
	missing := err
	cache, err := r.source.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, fmt.Errorf("opening cache of %s: %w", gr, err)
	}
	snapshot, stream := cache.Follow()
	defer stream.Close()
	for {
		if obj, ok := snapshot.Get(namespace, name); ok {
			return obj, nil
		}
		if _, err := stream.Next(ctx); err != nil {
			return nil, missing
		}
		snapshot = cache.Snapshot()
	}
}
