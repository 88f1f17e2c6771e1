package reconcile

import (
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/client"
)

// Ledger is the engine's first rule: it remembers what one key has written and tells what its view must show before the key
// may run again. Per resource that is the highest resource version written; after a delete, that the UID is gone or
// terminating; after a write of unknown end, a consistent read made later. Resource versions are compared only within one
// resource. Not safe for concurrent use.
type Ledger struct {
	reach map[schema.GroupResource]int64
	sync  map[schema.GroupResource]bool
	gone  []deletion
}

type deletion struct {
	resource        schema.GroupResource
	namespace, name string
	uid             types.UID // empty: not known, the name itself must go
}

// Debt is one thing that a view does not show yet.
type Debt struct {
	Resource schema.GroupResource
	// Revision, when not 0, must be reached.
	Revision int64
	// Sync: a consistent read must be made, then Ledger.Synced called.
	Sync bool
	// Neither: a deleted object must disappear from the view.
}

// Record notes how a write ended.
func (l *Ledger) Record(w client.Write, stored runtime.Object, err error) {
	if w.DryRun {
		return
	}
	if err != nil {
		if Ambiguous(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
			// The end is unknown, or the server knows more than the view did.
			l.needSync(w.Resource)
		}
		return
	}
	switch {
	case w.Verb == client.Delete:
		d := deletion{resource: w.Resource, namespace: w.Namespace, name: w.Name}
		if p := w.Delete.Preconditions; p != nil && p.UID != nil {
			d.uid = *p.UID
		}
		l.gone = append(l.gone, d)
	case w.Verb == client.DeleteCollection:
		l.needSync(w.Resource)
	default:
		rv, ok := revisionOf(stored)
		if !ok {
			l.needSync(w.Resource) // a subresource that answers with something else
			return
		}
		if l.reach == nil {
			l.reach = map[schema.GroupResource]int64{}
		}
		l.reach[w.Resource] = max(l.reach[w.Resource], rv)
	}
}

func (l *Ledger) needSync(gr schema.GroupResource) {
	if l.sync == nil {
		l.sync = map[schema.GroupResource]bool{}
	}
	l.sync[gr] = true
}

// Synced notes that a consistent read of the resource, started after the last Record, has reached the view.
func (l *Ledger) Synced(gr schema.GroupResource) { delete(l.sync, gr) }

// Debts forgets what the snapshots show by now and returns the rest. Resources without a snapshot are no inputs and are
// forgotten too.
func (l *Ledger) Debts(snapshot func(schema.GroupResource) (client.Snapshot, bool)) []Debt {
	var debts []Debt
	for gr, revision := range l.reach {
		if s, ok := snapshot(gr); !ok || s.Revision() >= revision {
			delete(l.reach, gr)
			continue
		}
		debts = append(debts, Debt{Resource: gr, Revision: revision})
	}
	for gr := range l.sync {
		if _, ok := snapshot(gr); !ok {
			delete(l.sync, gr)
			continue
		}
		debts = append(debts, Debt{Resource: gr, Sync: true})
	}
	left := l.gone[:0]
	for _, d := range l.gone {
		if s, ok := snapshot(d.resource); ok && !d.shown(s) {
			left = append(left, d)
			debts = append(debts, Debt{Resource: d.resource})
		}
	}
	l.gone = left
	return debts
}

// shown tells whether the snapshot shows the deletion.
func (d deletion) shown(s client.Snapshot) bool {
	obj, ok := s.Get(d.namespace, d.name)
	return !ok || obj.GetDeletionTimestamp() != nil || (d.uid != "" && obj.GetUID() != d.uid)
}

// Empty tells whether nothing is owed.
func (l *Ledger) Empty() bool { return len(l.reach) == 0 && len(l.sync) == 0 && len(l.gone) == 0 }

// Ambiguous tells whether a write that ended with this error may have been performed all the same: the connection broke, the
// deadline passed, or the server failed on the way.
func Ambiguous(err error) bool {
	if err == nil {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code >= http.StatusInternalServerError || code == http.StatusRequestTimeout || code == 0
}

func revisionOf(obj runtime.Object) (int64, bool) {
	if obj == nil {
		return 0, false
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return 0, false
	}
	rv, err := strconv.ParseInt(m.GetResourceVersion(), 10, 64)
	return rv, err == nil && rv > 0
}
