package alloc

import (
	"context"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/store"
)

// Allocator changes an object about to be stored and returns the steps that must be committed with it. The caller retries
// the whole write, Allocate included, when one of those steps fails on its precondition; each time with the object as it was
// before the first call, because what one call filled in the next one takes for asked.
type Allocator interface {
	// Allocate handles create (old nil), update, and delete (obj nil). obj may be changed.
	Allocate(ctx context.Context, obj, old api.Object, dryRun bool) ([]store.Op, error)
}
