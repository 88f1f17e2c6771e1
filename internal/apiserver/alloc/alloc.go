// Package alloc gives Services their addresses and node ports. It returns store steps that the API server commits in the
// write's own transaction, so that nothing is allocated from memory alone and a crash leaks nothing.
package alloc

import (
	"context"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/store"
)

// Allocator changes an object about to be stored and returns the steps that must be committed with it. The caller retries
// the whole write, Allocate included, when one of those steps fails on its precondition.
type Allocator interface {
	// Allocate handles create (old nil), update, and delete (obj nil). obj may be changed.
	Allocate(ctx context.Context, obj, old api.Object, dryRun bool) ([]store.Op, error)
}
