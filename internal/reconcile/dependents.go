package reconcile

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// dependents knows which objects name which owners, for controllers with an input of every kind. It follows the inputs'
// events, so it may lag a snapshot by a moment. Safe for concurrent use.
type dependents struct {
	mu      sync.RWMutex
	byOwner map[types.UID]map[Key]struct{}
}

func newDependents() *dependents { return &dependents{byOwner: map[types.UID]map[Key]struct{}{}} }

// note takes the changes of one resource in.
func (d *dependents) note(gr schema.GroupResource, events []client.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ev := range events {
		if ev.Old != nil {
			d.forget(gr, ev.Old)
		}
		if ev.Type == client.Deleted {
			d.forget(gr, ev.Object)
			continue
		}
		key := keyIn(gr, ev.Object)
		for _, ref := range ev.Object.GetOwnerReferences() {
			if d.byOwner[ref.UID] == nil {
				d.byOwner[ref.UID] = map[Key]struct{}{}
			}
			d.byOwner[ref.UID][key] = struct{}{}
		}
	}
}

func (d *dependents) forget(gr schema.GroupResource, obj api.Object) {
	key := keyIn(gr, obj)
	for _, ref := range obj.GetOwnerReferences() {
		delete(d.byOwner[ref.UID], key)
		if len(d.byOwner[ref.UID]) == 0 {
			delete(d.byOwner, ref.UID)
		}
	}
}

// of returns the owner's dependents in a fixed order.
func (d *dependents) of(uid types.UID) []Key {
	d.mu.RLock()
	defer d.mu.RUnlock()
	keys := make([]Key, 0, len(d.byOwner[uid]))
	for key := range d.byOwner[uid] {
		keys = append(keys, key)
	}
	SortKeys(keys)
	return keys
}

// SortKeys orders keys by resource, namespace and name.
func SortKeys(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Resource.Group, b.Resource.Group), cmp.Compare(a.Resource.Resource, b.Resource.Resource),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func keyIn(gr schema.GroupResource, obj api.Object) Key {
	return Key{Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}
