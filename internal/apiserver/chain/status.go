package chain

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"coracle.dev/coracle/internal/api"
)

// keepAllButStatus is what a write to /status does for kinds that say nothing of their own: everything but status, and the
// bookkeeping of the write itself, stays as it was.
func keepAllButStatus(obj, old api.Object) {
	version, managed := obj.GetResourceVersion(), obj.GetManagedFields()
	if u, ok := obj.(*unstructured.Unstructured); ok {
		status, has := u.Object["status"]
		u.Object = old.DeepCopyObject().(*unstructured.Unstructured).Object
		if has {
			u.Object["status"] = status
		} else {
			delete(u.Object, "status")
		}
	} else {
		v := reflect.ValueOf(obj).Elem()
		status := v.FieldByName("Status")
		if !status.IsValid() {
			return
		}
		kept := reflect.New(status.Type()).Elem()
		kept.Set(status)
		v.Set(reflect.ValueOf(old.DeepCopyObject()).Elem())
		v.FieldByName("Status").Set(kept)
	}
	obj.SetResourceVersion(version)
	obj.SetManagedFields(managed)
}

// equalObjects compares two objects of one type, resource versions aside.
func equalObjects(a, b api.Object) bool {
	if a.GetResourceVersion() == b.GetResourceVersion() {
		return equality.Semantic.DeepEqual(a, b)
	}
	return equality.Semantic.DeepEqual(atVersion(a, ""), atVersion(b, ""))
}

// emptiedRule returns what besides metadata.finalizers keeps a terminating object of the kind.
func emptiedRule(k *kind) func(api.Object) bool {
	if k.stored.Group != "" || k.stored.Plural != "namespaces" {
		return nil
	}
	return func(obj api.Object) bool {
		ns, ok := obj.(*corev1.Namespace)
		return !ok || len(ns.Spec.Finalizers) == 0
	}
}
