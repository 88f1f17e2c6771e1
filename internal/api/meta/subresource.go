package meta

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// AllVerbs returns the verbs of a resource that can do everything.
func AllVerbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// WriteVerbs are the verbs of subresources that carry the whole object, such as status.
func WriteVerbs() []string { return []string{"get", "patch", "update"} }

// Status is the status subresource of the kind. reset are the paths a status write leaves alone, "spec" when empty.
func Status(gvk schema.GroupVersionKind, newObject func() runtime.Object, reset ...string) api.Subresource {
	if len(reset) == 0 {
		reset = []string{"spec"}
	}
	return api.Subresource{
		Name:        "status",
		GVK:         gvk,
		New:         newObject,
		Verbs:       WriteVerbs(),
		ResetFields: reset,
	}
}

// ScaleSubresource is the scale subresource; the entry needs a Scale as well.
func ScaleSubresource() api.Subresource {
	return api.Subresource{
		Name:  "scale",
		GVK:   autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
		New:   Empty[autoscalingv1.Scale],
		Verbs: WriteVerbs(),
	}
}

// Stream is a subresource that carries a stream (log, exec, proxy, ...) and no object.
func Stream(name string, gvk schema.GroupVersionKind, verbs ...string) api.Subresource {
	return api.Subresource{Name: name, GVK: gvk, Verbs: verbs}
}

// ProxyVerbs are the verbs of proxy subresources.
func ProxyVerbs() []string { return []string{"create", "delete", "get", "patch", "update"} }

// NewScale describes an object's replicas as its scale subresource shows them.
func NewScale(obj api.Object, want, have int32, selector string) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: autoscalingv1.SchemeGroupVersion.String(), Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{
			Name:              obj.GetName(),
			Namespace:         obj.GetNamespace(),
			UID:               obj.GetUID(),
			ResourceVersion:   obj.GetResourceVersion(),
			CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: want},
		Status: autoscalingv1.ScaleStatus{Replicas: have, Selector: selector},
	}
}
