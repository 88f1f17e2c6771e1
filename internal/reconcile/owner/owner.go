package owner

import (
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/reconcile"
)

// Claims are the objects of one kind that concern an owner.
type Claims[T api.Object] struct {
	// Mine are controlled by the owner and match its selector, those to be adopted included.
	Mine []T
	// Adopt are orphans that match, Release are controlled but don't match any more.
	Adopt, Release []T
}

// Claim sorts the candidates. An owner that is being deleted takes and releases nothing; an orphan that is being deleted is
// left alone.
func Claim[T api.Object](own metav1.Object, selector labels.Selector, candidates iter.Seq[T]) Claims[T] {
	var c Claims[T]
	for obj := range candidates {
		if obj.GetNamespace() != own.GetNamespace() {
			continue
		}
		matches := selector.Matches(labels.Set(obj.GetLabels()))
		ref := metav1.GetControllerOfNoCopy(obj)
		switch {
		case ref != nil && ref.UID != own.GetUID():
		case ref != nil && matches:
			c.Mine = append(c.Mine, obj)
		case own.GetDeletionTimestamp() != nil || (ref == nil && (!matches || obj.GetDeletionTimestamp() != nil)):
		case ref != nil:
			c.Release = append(c.Release, obj)
		default:
			c.Adopt = append(c.Adopt, obj)
			c.Mine = append(c.Mine, obj)
		}
	}
	return c
}

// Plan adds the patches that adopt and release. Before an adoption the owner is written as it is, with its resource version:
// that fails when the owner has been deleted or replaced since the view was taken. Without it a stale view could bind orphans
// to an owner that is gone, and garbage collection would delete them.
func Plan[T api.Object](p *reconcile.Plan, c Claims[T], gr schema.GroupResource, own api.Object, kind schema.GroupVersionKind,
	ownResource schema.GroupResource,
) {
	if len(c.Adopt) > 0 {
		p.Add(reconcile.UpdatingStatus(ownResource, own))
	}
	var writes []reconcile.Write
	for _, obj := range c.Adopt {
		writes = append(writes, reconcile.Patching(gr, obj, types.StrategicMergePatchType,
			adoption(*metav1.NewControllerRef(own, kind))))
	}
	for _, obj := range c.Release {
		writes = append(writes, reconcile.Patching(gr, obj, types.StrategicMergePatchType, release(own.GetUID())))
	}
	p.Add(writes...)
}

func adoption(ref metav1.OwnerReference) map[string]any {
	return map[string]any{"metadata": map[string]any{"ownerReferences": []any{ref}}}
}

func release(own types.UID) map[string]any {
	gone := map[string]any{"$patch": "delete", "uid": own}
	return map[string]any{"metadata": map[string]any{"ownerReferences": []any{gone}}}
}

// Keys returns the key of the object's controller if it is of that kind, and nil otherwise.
func Keys(kind schema.GroupKind, obj metav1.Object) []reconcile.Key {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil || ref.Kind != kind.Kind {
		return nil
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || gv.Group != kind.Group {
		return nil
	}
	return []reconcile.Key{{Namespace: obj.GetNamespace(), Name: ref.Name}}
}
