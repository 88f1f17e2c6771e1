package remote

import (
	"iter"

	"github.com/google/btree"

	"coracle.dev/coracle/internal/api"
)

// degree of the trees: few levels for ten thousands of objects, small copies on write.
const degree = 16

// row is one object in an image. key is namespace and name, in the order of All; index and value are empty in the main tree.
type row struct {
	index, value    string
	namespace, name string
	obj             api.Object
}

func less(a, b row) bool {
	switch {
	case a.index != b.index:
		return a.index < b.index
	case a.value != b.value:
		return a.value < b.value
	case a.namespace != b.namespace:
		return a.namespace < b.namespace
	default:
		return a.name < b.name
	}
}

// image is the state of a selection at one revision. Immutable once published; it implements client.Snapshot.
type image struct {
	revision int64
	objects  *btree.BTreeG[row]
	indexes  *btree.BTreeG[row]
}

func newImage() *image {
	return &image{objects: btree.NewG(degree, less), indexes: btree.NewG(degree, less)}
}

// edit returns a copy to change; what is not changed stays shared.
func (m *image) edit() *image {
	return &image{revision: m.revision, objects: m.objects.Clone(), indexes: m.indexes.Clone()}
}

// set puts an object in, or replaces it, and returns what was there.
func (m *image) set(res *api.Resource, obj api.Object) (api.Object, bool) {
	r := row{namespace: obj.GetNamespace(), name: obj.GetName(), obj: obj}
	old, had := m.objects.ReplaceOrInsert(r)
	if had {
		m.unindex(res, old)
	}
	eachIndex(res, obj, func(index, value string) {
		m.indexes.ReplaceOrInsert(row{index: index, value: value, namespace: r.namespace, name: r.name, obj: obj})
	})
	return old.obj, had
}

// remove takes an object out and returns it.
func (m *image) remove(res *api.Resource, namespace, name string) (api.Object, bool) {
	old, had := m.objects.Delete(row{namespace: namespace, name: name})
	if had {
		m.unindex(res, old)
	}
	return old.obj, had
}

func (m *image) unindex(res *api.Resource, old row) {
	eachIndex(res, old.obj, func(index, value string) {
		m.indexes.Delete(row{index: index, value: value, namespace: old.namespace, name: old.name})
	})
}

// eachIndex calls f for each index value of an object. Metadata alone has only the indexes that metadata gives.
func eachIndex(res *api.Resource, obj api.Object, f func(index, value string)) {
	if res == nil {
		return
	}
	for name, values := range res.Indexes {
		if isPartial(obj) && name != api.IndexController {
			continue
		}
		for _, v := range values(obj) {
			f(name, v)
		}
	}
}

// Revision implements client.Snapshot.
func (m *image) Revision() int64 { return m.revision }

// Get implements client.Snapshot.
func (m *image) Get(namespace, name string) (api.Object, bool) {
	r, ok := m.objects.Get(row{namespace: namespace, name: name})
	return r.obj, ok
}

// All implements client.Snapshot.
func (m *image) All(namespace string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		m.objects.AscendGreaterOrEqual(row{namespace: namespace}, func(r row) bool {
			return (namespace == "" || r.namespace == namespace) && yield(r.obj)
		})
	}
}

// Index implements client.Snapshot.
func (m *image) Index(name, value string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		m.indexes.AscendGreaterOrEqual(row{index: name, value: value}, func(r row) bool {
			return r.index == name && r.value == value && yield(r.obj)
		})
	}
}

// Len implements client.Snapshot.
func (m *image) Len() int { return m.objects.Len() }
