package chain

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/store"
)

// futureWait is how long a read waits for a revision that this server has not seen yet, as upstream does.
const futureWait = 3 * time.Second

// Get reads one object. Resource version "" reads consistently, "0" whatever there is, N something at least that new.
func (c *Chain) Get(ctx context.Context, call *Call, resourceVersion string) (Item, error) {
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return Item{}, err
	}
	plan, err := planList(ListOptions{ResourceVersion: resourceVersion}, k.prefix)
	if err != nil {
		return Item{}, err
	}
	snap, err := c.snapshot(ctx, k, plan)
	if err != nil {
		return Item{}, storeError(err, call.groupResource(), call.Name)
	}
	entry, ok := snap.Get(k.key(call.Namespace, call.Name))
	if !ok {
		return Item{}, apierrors.NewNotFound(call.groupResource(), call.Name)
	}
	return Item{entry: entry, coll: k.coll}, nil
}

// Listing is what a list found.
type Listing struct {
	Revision  int64
	Continue  string
	Remaining *int64
	Items     []Item
}

// List reads a part of a collection.
func (c *Chain) List(ctx context.Context, call *Call, opts ListOptions) (*Listing, error) {
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	filter, err := c.Filter(call.Target.Resource, call.LabelSelector, call.FieldSelector)
	if err != nil {
		return nil, err
	}
	prefix := k.key(call.Namespace, "")
	plan, err := planList(opts, prefix)
	if err != nil {
		return nil, err
	}
	snap, err := c.snapshot(ctx, k, plan)
	if err != nil {
		if plan.continued && errors.Is(err, store.ErrCompacted) {
			return nil, expiredContinue(plan.from, prefix)
		}
		return nil, storeError(err, call.groupResource(), "")
	}
	return k.collect(snap, filter, call.Namespace, plan.from, opts.Limit)
}

// snapshot returns the state that a plan asks for.
func (c *Chain) snapshot(ctx context.Context, k *kind, plan readPlan) (store.Snapshot, error) {
	switch plan.freshness {
	case consistent:
		if _, err := c.cfg.Store.Current(ctx); err != nil {
			return nil, err
		}
	case notOlder:
		if err := c.reach(ctx, plan.revision); err != nil {
			return nil, err
		}
	case exactly:
		if err := c.reach(ctx, plan.revision); err != nil {
			return nil, err
		}
		if snap := k.coll.Snapshot(); snap.Revision() == plan.revision {
			return snap, nil
		}
		return k.coll.At(ctx, plan.revision)
	case anyRevision:
	}
	return k.coll.Snapshot(), nil
}

// reach waits until the image has the revision, for as long as it may be merely late.
func (c *Chain) reach(ctx context.Context, revision int64) error {
	if c.cfg.Store.Revision() >= revision {
		return nil
	}
	// A revision that etcd does not have either is refused at once.
	if _, err := c.cfg.Store.Current(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, futureWait)
	defer cancel()
	if err := c.cfg.Store.WaitFor(wait, revision); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return tooLarge(revision, c.cfg.Store.Revision())
	}
	return nil
}

// collect walks a snapshot and keeps what the filter shows, up to limit.
func (k *kind) collect(snap store.Snapshot, filter Filter, namespace, from string, limit int64) (*Listing, error) {
	prefix := k.key(namespace, "")
	out := &Listing{Revision: snap.Revision()}
	if filter.Empty() && limit <= 0 && from == "" {
		out.Items = make([]Item, 0, snap.Len(prefix))
	}
	last := ""
	more := false
	for entry := range k.candidates(snap, filter, prefix, from) {
		if limit > 0 && int64(len(out.Items)) == limit {
			more = true
			break
		}
		item := Item{entry: entry, coll: k.coll}
		if !filter.Empty() {
			obj, err := item.Object()
			if err != nil {
				return nil, err
			}
			if !filter.Matches(obj) {
				continue
			}
		}
		out.Items = append(out.Items, item)
		last = entry.Key
	}
	if !more {
		return out, nil
	}
	return out, k.continueAfter(out, snap, filter, prefix, last)
}

func (k *kind) continueAfter(out *Listing, snap store.Snapshot, filter Filter, prefix, last string) error {
	token, err := encodeContinue(last, prefix, out.Revision)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	out.Continue = token
	if filter.Empty() {
		remaining := int64(0)
		for range snap.Ascend(prefix, last+"\x00") {
			remaining++
		}
		out.Remaining = &remaining
	}
	return nil
}

// candidates yields the entries that may match, in key order, by the narrowest way there is.
func (k *kind) candidates(snap store.Snapshot, filter Filter, prefix, from string) iter.Seq[store.Entry] {
	if node, ok := filter.exact("spec.nodeName"); ok && from == "" && k.stored.Indexes["node"] != nil {
		return WithPrefix(snap.Index("node", node), prefix)
	}
	if filter.name != "" && (!k.stored.Namespaced || prefix != k.prefix) {
		return func(yield func(store.Entry) bool) {
			if e, ok := snap.Get(prefix + filter.name); ok && (from == "" || e.Key >= from) {
				yield(e)
			}
		}
	}
	return snap.Ascend(prefix, from)
}

// WithPrefix keeps the entries whose keys begin with the prefix.
func WithPrefix(seq iter.Seq[store.Entry], prefix string) iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		for e := range seq {
			if len(e.Key) >= len(prefix) && e.Key[:len(prefix)] == prefix && !yield(e) {
				return
			}
		}
	}
}

// current returns the newest entry the image has, and its object.
func (k *kind) current(namespace, name string) (store.Entry, Item, bool) {
	entry, ok := k.coll.Snapshot().Get(k.key(namespace, name))
	return entry, Item{entry: entry, coll: k.coll}, ok
}

func formatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }

// Candidates yields the entries with the key prefix that a filter may show, by the narrowest way there is.
func (s Source) Candidates(snap store.Snapshot, filter Filter, prefix string) iter.Seq[store.Entry] {
	return s.kind.candidates(snap, filter, prefix, "")
}
