package chain

import (
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/store"
)

// Item is one stored object, decoded and encoded on demand; what is made is shared by all who look at the same revision.
type Item struct {
	entry store.Entry
	coll  store.Collection
	// own is set instead for objects that are in no image: the answer of a write, an object leaving a selection.
	own api.Object
}

// ItemOf wraps an object that is in no image. It must not be changed afterwards.
func ItemOf(obj api.Object) Item { return Item{own: obj} }

// Object returns the object, of the stored type. Shared and immutable.
func (i Item) Object() (api.Object, error) {
	if i.own != nil {
		return i.own, nil
	}
	obj, err := i.coll.Object(i.entry)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("decoding %s: %w", i.entry.Key, err))
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("decoding %s: %T has no object metadata", i.entry.Key, obj))
	}
	return o, nil
}

// Encoded returns the encoding under that name, made once for each revision. The bytes are shared and must not be changed.
func (i Item) Encoded(name string, encode func(api.Object) ([]byte, error)) ([]byte, error) {
	if i.own != nil {
		return encode(i.own)
	}
	return i.coll.Encoded(i.entry, name, func(obj any) ([]byte, error) {
		o, ok := obj.(api.Object)
		if !ok {
			return nil, fmt.Errorf("%T has no object metadata", obj)
		}
		return encode(o)
	})
}

// Revision is the object's resource version.
func (i Item) Revision() int64 {
	if i.own != nil {
		rev, _ := strconv.ParseInt(i.own.GetResourceVersion(), 10, 64)
		return rev
	}
	return i.entry.Revision
}

// atRevision returns the object's last state as of a later revision, as watchers see what left their selection.
func atRevision(obj api.Object, revision int64) api.Object {
	return atVersion(obj, strconv.FormatInt(revision, 10))
}

// atVersion returns a shallow copy with another resource version.
func atVersion(obj api.Object, version string) api.Object {
	out, _ := convert.ShallowCopy(obj).(api.Object)
	out.SetResourceVersion(version)
	return out
}

// Filter decides which objects a list or watch shows. The zero Filter shows all.
type Filter struct {
	labels labels.Selector
	fields fields.Selector
	attrs  func(api.Object) fields.Set
	// name, when not empty, is the only name that can match.
	name string
}

// Filter parses selectors for a resource. Bad syntax and unknown fields are BadRequest.
func (c *Chain) Filter(res *api.Resource, labelSelector, fieldSelector string) (Filter, error) {
	f := Filter{}
	if labelSelector != "" {
		sel, err := labels.Parse(labelSelector)
		if err != nil {
			return f, apierrors.NewBadRequest(fmt.Sprintf("unable to parse requirement: %v", err))
		}
		if !sel.Empty() {
			f.labels = sel
		}
	}
	if fieldSelector == "" {
		return f, nil
	}
	sel, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return f, apierrors.NewBadRequest(err.Error())
	}
	if sel.Empty() {
		return f, nil
	}
	f.fields, f.attrs = sel, selectable(res)
	known := f.attrs(c.Stored(res).NewStored())
	for _, req := range sel.Requirements() {
		if _, ok := known[req.Field]; !ok {
			return f, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", req.Field))
		}
	}
	if name, ok := sel.RequiresExactMatch("metadata.name"); ok {
		f.name = name
	}
	return f, nil
}

// selectable returns the resource's selectable fields; name and namespace when it declares none.
func selectable(res *api.Resource) func(api.Object) fields.Set {
	if res.SelectableFields != nil {
		return res.SelectableFields
	}
	if res.Namespaced {
		return func(obj api.Object) fields.Set {
			return fields.Set{"metadata.name": obj.GetName(), "metadata.namespace": obj.GetNamespace()}
		}
	}
	return func(obj api.Object) fields.Set { return fields.Set{"metadata.name": obj.GetName()} }
}

// Empty tells whether the filter shows everything.
func (f Filter) Empty() bool { return f.labels == nil && f.fields == nil }

// Matches tells whether the filter shows the object.
func (f Filter) Matches(obj api.Object) bool {
	if f.name != "" && obj.GetName() != f.name {
		return false
	}
	if f.labels != nil && !f.labels.Matches(labels.Set(obj.GetLabels())) {
		return false
	}
	return f.fields == nil || f.fields.Matches(f.attrs(obj))
}

// exact returns a field value the filter requires, for choosing an index.
func (f Filter) exact(field string) (string, bool) {
	if f.fields == nil {
		return "", false
	}
	return f.fields.RequiresExactMatch(field)
}

// Partial returns the object's metadata alone.
func Partial(obj api.Object) *metav1.PartialObjectMetadata {
	if p, ok := obj.(*metav1.PartialObjectMetadata); ok {
		return p
	}
	out := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}}
	if acc, ok := obj.(metav1.ObjectMetaAccessor); ok {
		if m, ok := acc.GetObjectMeta().(*metav1.ObjectMeta); ok {
			out.ObjectMeta = *m
			return out
		}
	}
	out.ObjectMeta = metav1.ObjectMeta{
		Name: obj.GetName(), GenerateName: obj.GetGenerateName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(), Generation: obj.GetGeneration(), CreationTimestamp: obj.GetCreationTimestamp(),
		DeletionTimestamp: obj.GetDeletionTimestamp(), DeletionGracePeriodSeconds: obj.GetDeletionGracePeriodSeconds(),
		Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(), OwnerReferences: obj.GetOwnerReferences(),
		Finalizers: obj.GetFinalizers(), ManagedFields: obj.GetManagedFields(),
	}
	return out
}
