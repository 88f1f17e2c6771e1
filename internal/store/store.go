package store

import (
	"context"
	"errors"
	"iter"
)

// Errors of the store. They are wrapped with the key they concern; test with errors.Is.
var (
	// ErrExists: a create found the key taken.
	ErrExists = errors.New("key exists")
	// ErrNotFound: the key does not exist.
	ErrNotFound = errors.New("key not found")
	// ErrConflict: the key exists at another revision than the write expected.
	ErrConflict = errors.New("revision conflict")
	// ErrCompacted: the asked revision is older than the history kept.
	ErrCompacted = errors.New("revision compacted")
	// ErrFuture: the asked revision has not been reached within the time allowed.
	ErrFuture = errors.New("revision in the future")
	// ErrAmbiguous: the write may or may not have happened (timeout, lost connection).
	ErrAmbiguous = errors.New("outcome of the write is unknown")
	// ErrTooLarge: the write is bigger than etcd accepts. Nothing was written.
	ErrTooLarge = errors.New("write too large")
	// ErrNoSpace: etcd's quota is used up. Nothing was written.
	ErrNoSpace = errors.New("storage quota used up")
	// ErrClosed: the store, or the stream, is no longer running.
	ErrClosed = errors.New("store closed")
)

// Codec turns stored bytes into objects. Decoded objects are shared by every reader and immutable.
type Codec interface {
	// Decode reads the bytes stored under key at revision.
	Decode(key string, data []byte, revision int64) (any, error)
	// Encode writes an object as it is stored (without its revision).
	Encode(obj any) ([]byte, error)
}

// CollectionSpec describes one folder of keys, such as /registry/pods/.
type CollectionSpec struct {
	// Prefix ends with a slash.
	Prefix string
	Codec  Codec
	// Indexes map an index name to a function from a decoded object to its values.
	Indexes map[string]func(obj any) []string
}

// OpKind is what an Op does.
type OpKind int

// The kinds of Op.
const (
	OpCreate OpKind = iota + 1 // the key must not exist
	OpUpdate                   // the key must exist at Expect; Expect 0: at any revision
	OpPut                      // whatever is there is replaced, or created
	OpDelete                   // the key must exist at Expect; Expect 0 deletes whatever is there
	OpCheck                    // writes nothing; the key must exist at Expect (Expect 0: must not exist)
)

// Op is one step of a transaction. All steps happen at one revision or none does.
type Op struct {
	Kind   OpKind
	Key    string
	Value  []byte
	Expect int64
	// TTL in seconds, 0 for ever. Rounded up so that keys share leases.
	TTL int64
}

// OpError says which step of a transaction failed; it wraps ErrExists, ErrNotFound or ErrConflict.
type OpError struct {
	Index int
	Op    Op
	Err   error
}

func (e *OpError) Error() string { return e.Op.Key + ": " + e.Err.Error() }
func (e *OpError) Unwrap() error { return e.Err }

// Entry is one key at one revision.
type Entry struct {
	Key string
	// Revision is the revision of the last change of this key.
	Revision int64
	// Value is the stored bytes; shared, not to be changed.
	Value []byte
	item  *item
}

// EventType says what happened to a key.
type EventType int

// The types of Event.
const (
	Created EventType = iota + 1
	Updated
	Deleted
	// Bookmark carries only a revision: everything up to it has been delivered.
	Bookmark
)

// Event is one change. For Deleted, Entry is the last state, with Revision that of the deletion; for Updated, Old is the
// state before.
type Event struct {
	Type     EventType
	Revision int64
	Entry    Entry
	Old      Entry
}

// Snapshot is a collection at one revision. Immutable, cheap to take and keep.
type Snapshot interface {
	Revision() int64
	Get(key string) (Entry, bool)
	// Ascend yields entries with the given key prefix in key order, beginning at from when it is not empty.
	Ascend(prefix, from string) iter.Seq[Entry]
	// Index yields the entries whose index has the value, in key order.
	Index(name, value string) iter.Seq[Entry]
	// Len counts the keys with the prefix.
	Len(prefix string) int
}

// Stream delivers events in revision order. One reader at a time.
type Stream interface {
	// Next blocks until there is at least one event, ctx ends, or the stream is broken. Events of one revision are never split
	// over two calls. ErrCompacted says the reader fell behind the history window and must list again.
	Next(ctx context.Context) ([]Event, error)
	// Progress returns the revision up to which everything has been delivered or concerned other keys.
	Progress() int64
	Close()
}

// Collection is one folder of keys, served from the image.
type Collection interface {
	// Snapshot returns the newest state the image has.
	Snapshot() Snapshot
	// At returns the state at exactly that revision: from the history window, else from etcd; ErrCompacted or ErrFuture.
	At(ctx context.Context, revision int64) (Snapshot, error)
	// Follow streams events with the prefix after the revision. ErrCompacted when that is older than the history window,
	// ErrFuture when it is newer than anything this store has seen.
	Follow(ctx context.Context, prefix string, after int64) (Stream, error)
	// Object decodes an entry on first use and shares the result. Immutable.
	Object(e Entry) (any, error)
	// Encoded returns the encoding of an entry under a name such as "json;v1", made on first use by make and kept within a
	// byte budget. The result is shared, not to be changed.
	Encoded(e Entry, name string, make func(obj any) ([]byte, error)) ([]byte, error)
	// Encode encodes an object for an Op.
	Encode(obj any) ([]byte, error)
}

// Store is the whole. Safe for concurrent use.
type Store interface {
	// Collection registers the folder (idempotent by prefix) and loads it when it is not in the image yet.
	Collection(ctx context.Context, spec CollectionSpec) (Collection, error)
	// Commit runs the steps in one etcd transaction and returns its revision when the image has reached it. A failed
	// precondition is an *OpError.
	Commit(ctx context.Context, ops ...Op) (int64, error)
	// Revision returns what the image has reached.
	Revision() int64
	// WaitFor blocks until the image has reached the revision.
	WaitFor(ctx context.Context, revision int64) error
	// Current returns a revision that is at least etcd's when the call began (a quorum read, unless this process is the
	// only writer), after waiting until the image has reached it.
	Current(ctx context.Context) (int64, error)
	// Compacted returns the oldest revision that can still be read, less one.
	Compacted() int64
	// Run serves until ctx ends: the watch that feeds the image, compaction, leases.
	Run(ctx context.Context) error
}
