package convert

import (
	"fmt"
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// WithKind returns obj with its apiVersion and kind set to gvk: obj itself when they are, else a shallow copy.
func WithKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	if obj.GetObjectKind().GroupVersionKind() == gvk {
		return obj
	}
	out := ShallowCopy(obj)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}

// ShallowCopy copies the outermost struct (or map) of obj and the metadata map, so that plain fields of the copy's metadata
// may be set. Everything deeper stays shared and must not be changed.
func ShallowCopy(obj runtime.Object) runtime.Object {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		object := maps.Clone(u.Object)
		if meta, ok := object["metadata"].(map[string]any); ok {
			object["metadata"] = maps.Clone(meta)
		}
		return &unstructured.Unstructured{Object: object}
	}
	v := reflect.ValueOf(obj).Elem()
	out := reflect.New(v.Type())
	out.Elem().Set(v)
	return out.Interface().(runtime.Object)
}

// FromStored converts a stored object to a served version, with its kind set. The result may share parts with obj.
func FromStored(res *api.Resource, version *api.Version, obj api.Object) (runtime.Object, error) {
	var out runtime.Object = obj
	if version.FromStored != nil {
		converted, err := version.FromStored(obj)
		if err != nil {
			return nil, fmt.Errorf("converting %s to %s: %w", res.GroupResource(), version.Name, err)
		}
		out = converted
	}
	return WithKind(out, res.GVK(version.Name)), nil
}

// ToStored converts an object of a served version to the stored type. The result may share parts with obj. The stored
// type's own kind is set, since that is how objects are kept.
func ToStored(res *api.Resource, version *api.Version, obj runtime.Object) (api.Object, error) {
	if version.ToStored != nil {
		out, err := version.ToStored(obj)
		if err != nil {
			return nil, fmt.Errorf("converting %s from %s: %w", res.GroupResource(), version.Name, err)
		}
		return out, nil
	}
	out, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%T has no object metadata", obj)
	}
	return out, nil
}
