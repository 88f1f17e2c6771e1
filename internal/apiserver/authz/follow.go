package authz

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Source hands out live caches; a client.Interface is one.
type Source interface {
	Cache(sel client.Selection) (client.Cache, error)
}

// follower keeps something that is derived from one cache up to date. set is called with the guard held, with the object's
// newest state or nil when it is gone. Because the state is read from the cache under the guard, it never goes back in time,
// whoever asks for the refresh.
type follower struct {
	resource schema.GroupResource
	cache    client.Cache
	guard    *sync.RWMutex
	set      func(key types.NamespacedName, obj api.Object)
	known    map[types.NamespacedName]struct{}
}

func newFollower(
	source Source, gr schema.GroupResource, guard *sync.RWMutex, set func(types.NamespacedName, api.Object),
) (*follower, error) {
	cache, err := source.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, fmt.Errorf("opening cache of %s: %w", gr, err)
	}
	return &follower{resource: gr, cache: cache, guard: guard, set: set, known: map[types.NamespacedName]struct{}{}}, nil
}

// refresh brings the given keys up to date.
func (f *follower) refresh(keys []types.NamespacedName) {
	f.guard.Lock()
	defer f.guard.Unlock()
	f.refreshLocked(f.cache.Snapshot(), keys)
}

func (f *follower) refreshLocked(snapshot client.Snapshot, keys []types.NamespacedName) {
	for _, key := range keys {
		obj, ok := snapshot.Get(key.Namespace, key.Name)
		if !ok {
			delete(f.known, key)
			f.set(key, nil)
			continue
		}
		f.known[key] = struct{}{}
		f.set(key, obj)
	}
}

// refreshAll brings everything up to date.
func (f *follower) refreshAll() {
	f.guard.Lock()
	defer f.guard.Unlock()
	snapshot := f.cache.Snapshot()
	keys := make([]types.NamespacedName, 0, len(f.known))
	for key := range f.known {
		keys = append(keys, key)
	}
	for obj := range snapshot.All("") {
		key := keyOf(obj)
		if _, ok := f.known[key]; !ok {
			keys = append(keys, key)
		}
	}
	f.refreshLocked(snapshot, keys)
}

func (f *follower) run(ctx context.Context) error {
	_, stream := f.cache.Follow()
	defer stream.Close()
	f.refreshAll()
	for {
		events, err := stream.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following %s: %w", f.resource, err)
		}
		keys := make([]types.NamespacedName, 0, len(events))
		for _, e := range events {
			keys = append(keys, keyOf(e.Object))
		}
		f.refresh(keys)
	}
}

func keyOf(obj api.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// followers are several caches behind one thing.
type followers []*follower

// Run follows until ctx ends.
func (fs followers) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range fs {
		group.Go(func() error { return f.run(ctx) })
	}
	return group.Wait()
}

// sync waits until everything acknowledged before the call is taken into account.
func (fs followers) sync(ctx context.Context) error {
	var failed error
	for _, f := range fs {
		if err := f.cache.Sync(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("reading %s: %w", f.resource, err))
			continue
		}
		f.refreshAll()
	}
	return failed
}
