package garbagecollector

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/reconcile"
)

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	obj, ok := v.Get(key.Resource, key.Namespace, key.Name)
	if !ok {
		return p, nil
	}
	switch {
	case obj.GetDeletionTimestamp() == nil:
		err := collect(&p, v, key, obj)
		return p, err
	case has(obj, metav1.FinalizerDeleteDependents):
		release(&p, v, key, obj)
	case has(obj, metav1.FinalizerOrphanDependents):
		orphan(&p, v, key, obj)
	}
	return p, nil
}

// owners is what became of an object's owners.
type owners struct {
	// solid is a reference to an owner that exists, or that nothing certain is known about.
	solid bool
	// absent owners are gone; waiting ones are being deleted in the foreground and wait for this object.
	absent, waiting []types.UID
}

// collect deletes the object if none of its owners is left, and takes references off that lead nowhere.
func collect(p *reconcile.Plan, v reconcile.View, key reconcile.Key, obj api.Object) error {
	if len(obj.GetOwnerReferences()) == 0 {
		return nil
	}
	o, err := judge(p, v, key, obj)
	if err != nil || len(p.Calls) > 0 {
		return err
	}
	switch {
	case o.solid && len(o.absent)+len(o.waiting) > 0:
		gone := append(slices.Clone(o.absent), o.waiting...)
		p.Add(patch(key, obj, map[string]any{"ownerReferences": without(obj.GetOwnerReferences(), gone)}))
	case o.solid:
	case len(o.waiting) > 0 && len(v.Dependents(obj.GetUID())) > 0:
		if inCircle(v, obj) {
			p.Add(patch(key, obj, map[string]any{"ownerReferences": unblocked(obj.GetOwnerReferences())}))
			return nil // the deletion follows when the patch shows
		}
		p.Add(deletion(key, obj, metav1.DeletePropagationForeground))
	default:
		p.Add(deletion(key, obj, policyOf(obj)))
	}
	return nil
}

// judge sorts the owners. It adds a call for each that the view does not show and that has not been asked about.
func judge(p *reconcile.Plan, v reconcile.View, key reconcile.Key, obj api.Object) (owners, error) {
	var o owners
	for _, ref := range obj.GetOwnerReferences() {
		at, known := keyOfOwner(v, obj, ref)
		if _, served := kindOf(v, ref); served && !known {
			p.Events = append(p.Events, foreignScope(v, key, obj, ref))
			o.solid = true
			continue
		}
		if known {
			if own, ok := v.Get(at.Resource, at.Namespace, at.Name); ok && own.GetUID() == ref.UID {
				if own.GetDeletionTimestamp() != nil && has(own, metav1.FinalizerDeleteDependents) && blocks(ref) {
					o.waiting = append(o.waiting, ref.UID)
				} else {
					o.solid = true
				}
				continue
			}
		}
		answer, asked := v.Answer(portName, string(ref.UID))
		switch absent, ok := answer.Value.(bool); {
		case !asked:
			p.Calls = append(p.Calls, reconcile.Call{
				Port: portName, ID: string(ref.UID), Request: OwnerRequest{Namespace: obj.GetNamespace(), Reference: ref},
			})
		case answer.Err != nil:
			return o, fmt.Errorf("reading owner %s %s: %w", ref.Kind, ref.Name, answer.Err)
		case ok && absent:
			o.absent = append(o.absent, ref.UID)
		default:
			o.solid = true
		}
	}
	return o, nil
}

// foreignScope warns about a cluster-scoped object with a namespaced owner, which cannot be.
func foreignScope(v reconcile.View, key reconcile.Key, obj api.Object, ref metav1.OwnerReference) reconcile.Event {
	regarding := corev1.ObjectReference{Name: obj.GetName(), UID: obj.GetUID()}
	for _, res := range v.Kinds() {
		if res.GroupResource() == key.Resource {
			regarding.Kind, regarding.APIVersion = res.Kind, res.StoredGVK().GroupVersion().String()
		}
	}
	return reconcile.Event{
		Regarding: regarding, Type: corev1.EventTypeWarning, Reason: "OwnerRefInvalidNamespace",
		Message: fmt.Sprintf("ownerRef %s %s is namespaced and cannot own a cluster-scoped object", ref.Kind, ref.Name),
	}
}

// release lets an owner go that is deleted in the foreground, once nothing that blocks it is left. Until then its dependents,
// which its deletion woke, delete themselves.
func release(p *reconcile.Plan, v reconcile.View, key reconcile.Key, obj api.Object) {
	for _, dep := range v.Dependents(obj.GetUID()) {
		d, ok := v.Get(dep.Resource, dep.Namespace, dep.Name)
		if !ok {
			continue
		}
		for _, ref := range d.GetOwnerReferences() {
			if ref.UID == obj.GetUID() && blocks(ref) {
				return
			}
		}
	}
	p.Add(withoutFinalizer(key, obj, metav1.FinalizerDeleteDependents))
}

// orphan takes the owner's references off all dependents and then lets it go.
func orphan(p *reconcile.Plan, v reconcile.View, key reconcile.Key, obj api.Object) {
	var cuts []reconcile.Write
	for _, dep := range v.Dependents(obj.GetUID()) {
		d, ok := v.Get(dep.Resource, dep.Namespace, dep.Name)
		if !ok {
			continue
		}
		if rest := without(d.GetOwnerReferences(), []types.UID{obj.GetUID()}); len(rest) < len(d.GetOwnerReferences()) {
			cuts = append(cuts, patch(dep, d, map[string]any{"ownerReferences": rest}))
		}
	}
	p.Add(cuts...)
	p.Add(withoutFinalizer(key, obj, metav1.FinalizerOrphanDependents))
}

// inCircle tells whether something that the object owns is itself waiting for its dependents, of which the object may be one.
func inCircle(v reconcile.View, obj api.Object) bool {
	return slices.ContainsFunc(v.Dependents(obj.GetUID()), func(dep reconcile.Key) bool {
		d, ok := v.Get(dep.Resource, dep.Namespace, dep.Name)
		return ok && d.GetDeletionTimestamp() != nil && has(d, metav1.FinalizerDeleteDependents)
	})
}

// policyOf keeps to what an earlier request asked for.
func policyOf(obj api.Object) metav1.DeletionPropagation {
	switch {
	case has(obj, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case has(obj, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// deletion deletes the object as it was seen: its owners may have changed since, and then it must be judged anew.
func deletion(key reconcile.Key, obj api.Object, policy metav1.DeletionPropagation) reconcile.Write {
	w := reconcile.Deleting(key.Resource, obj)
	version := obj.GetResourceVersion()
	w.Delete.Preconditions.ResourceVersion = &version
	w.Delete.PropagationPolicy = &policy
	return w
}

// patch changes metadata of the object as it was seen. A merge patch works on every kind.
func patch(key reconcile.Key, obj api.Object, metadata map[string]any) reconcile.Write {
	metadata["resourceVersion"] = obj.GetResourceVersion()
	return reconcile.Patching(key.Resource, obj, types.MergePatchType, map[string]any{"metadata": metadata})
}

func withoutFinalizer(key reconcile.Key, obj api.Object, finalizer string) reconcile.Write {
	rest := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return f == finalizer })
	return patch(key, obj, map[string]any{"finalizers": rest})
}

func without(refs []metav1.OwnerReference, gone []types.UID) []metav1.OwnerReference {
	return slices.DeleteFunc(slices.Clone(refs), func(r metav1.OwnerReference) bool { return slices.Contains(gone, r.UID) })
}

func unblocked(refs []metav1.OwnerReference) []metav1.OwnerReference {
	refs = slices.Clone(refs)
	for i := range refs {
		no := false
		refs[i].BlockOwnerDeletion = &no
	}
	return refs
}

func has(obj api.Object, finalizer string) bool {
	return slices.Contains(obj.GetFinalizers(), finalizer)
}
