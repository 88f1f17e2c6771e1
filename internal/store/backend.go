package store

import "context"

// backend is what the store needs of etcd. Its errors are wrapped errors of this package where one fits (ErrCompacted,
// ErrFuture, ErrTooLarge, ErrNoSpace, errLeaseGone, ErrAmbiguous); any other error says that nothing was done.
type backend interface {
	// list reads up to limit keys in [from, end) at a revision; at 0, a quorum read of the newest state.
	list(ctx context.Context, from, end string, revision, limit int64) (page, error)
	// revision is a quorum read of the newest revision.
	revision(ctx context.Context) (int64, error)
	// txn runs the steps at one revision, or none of them.
	txn(ctx context.Context, steps []step) (outcome, error)
	// watch delivers the changes to keys with the prefix after the revision.
	watch(ctx context.Context, prefix string, after int64) watch
	// grant makes a lease of ttl seconds.
	grant(ctx context.Context, ttl int64) (int64, error)
	// takeTurn claims this round of compaction: when the turn key still has the version (a count of rounds), it is set to
	// revision and won is true. Either way the key's present version and value are returned.
	takeTurn(ctx context.Context, version, revision int64) (turn, error)
	// compact forgets the history before the revision.
	compact(ctx context.Context, revision int64) error
	// failed is closed when the backend can never work again.
	failed() <-chan struct{}
	close() error
}

// watch is one run of a backend's watch. A broken one is closed and replaced.
type watch interface {
	// next blocks until there is something to tell. ErrCompacted: the revision to start after is gone.
	next(ctx context.Context) (batch, error)
	// progress asks for a batch that says how far the watch has come, soon, even when nothing changes.
	progress(ctx context.Context) error
	close()
}

// keyValue is a key as the backend has it.
type keyValue struct {
	key      string
	value    []byte
	revision int64
}

// page is a part of a listing. revision is the backend's when it was read.
type page struct {
	items    []keyValue
	revision int64
	more     bool
}

// change is a key's new state. A deletion has no value.
type change struct {
	keyValue
	deleted bool
}

// batch is a run of changes in revision order that contains all of each of its revisions. Everything up to revision has now
// been told.
type batch struct {
	changes  []change
	revision int64
}

// step is an Op with its lease.
type step struct {
	Op
	lease int64
}

// outcome of a transaction. When its preconditions did not hold, found has each step's key's revision, 0 for absent.
type outcome struct {
	revision int64
	done     bool
	found    []int64
}

// turn is the state of the key by which servers take turns in compacting.
type turn struct {
	won       bool
	version   int64
	compacted int64 // the revision that the last round compacted to
	revision  int64 // the backend's
}
