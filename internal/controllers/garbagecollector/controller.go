package garbagecollector

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Controller is the garbage collector. Its keys are objects of any kind.
type Controller struct{ owner reconcile.Port }

// New returns the controller. owner is its port, normally OwnerPort.
func New(owner reconcile.Port) *Controller { return &Controller{owner: owner} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "generic-garbage-collector" }

// Ports implements reconcile.PortUser.
func (c *Controller) Ports() map[string]reconcile.Port {
	return map[string]reconcile.Port{portName: c.owner}
}

// Inputs implements reconcile.Controller. Events are left out: they are many, short-lived and never own or are owned.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{{
		Every: true, Dependents: true, Keys: keysOf, Relevant: relevant,
		Except: []schema.GroupResource{kinds.Events(), {Group: "events.k8s.io", Resource: "events"}},
	}}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{{Every: true, Verbs: []client.Verb{client.Delete, client.Patch}}}
}

// relevant keeps the changes that ownership or deletion is about; a pod's status is not.
func relevant(old, obj api.Object) bool {
	return (old.GetDeletionTimestamp() == nil) != (obj.GetDeletionTimestamp() == nil) ||
		!slices.Equal(old.GetFinalizers(), obj.GetFinalizers()) ||
		!slices.EqualFunc(old.GetOwnerReferences(), obj.GetOwnerReferences(), sameReference)
}

func sameReference(a, b metav1.OwnerReference) bool {
	return a.UID == b.UID && blocks(a) == blocks(b)
}

// keysOf wakes the object, those that it owns (it may have been deleted) and its owners (they may wait for it).
func keysOf(v reconcile.View, obj api.Object) []reconcile.Key {
	keys := v.Dependents(obj.GetUID())
	refs := obj.GetOwnerReferences()
	if len(refs) > 0 || obj.GetDeletionTimestamp() != nil {
		keys = append(keys, reconcile.KeyOf(obj))
	}
	for _, ref := range refs {
		if key, ok := keyOfOwner(v, obj, ref); ok && blocks(ref) {
			keys = append(keys, key)
		}
	}
	return keys
}

// keyOfOwner resolves a reference. ok is false when its kind is not served, or could not be this object's owner.
func keyOfOwner(v reconcile.View, obj metav1.Object, ref metav1.OwnerReference) (key reconcile.Key, ok bool) {
	res, ok := kindOf(v, ref)
	if !ok || (res.Namespaced && obj.GetNamespace() == "") {
		return key, false
	}
	key = reconcile.Key{Resource: res.GroupResource(), Name: ref.Name}
	if res.Namespaced {
		key.Namespace = obj.GetNamespace()
	}
	return key, true
}

func kindOf(v reconcile.View, ref metav1.OwnerReference) (*api.Resource, bool) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, false
	}
	for _, res := range v.Kinds() {
		if res.Kind == ref.Kind && res.Group == gv.Group {
			return res, true
		}
	}
	return nil, false
}

func blocks(ref metav1.OwnerReference) bool {
	return ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}
