package core

import (
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

// binding is only ever created, and never stored: it assigns a pod to a node.
func binding() *api.Resource {
	return meta.Entry[*corev1.Binding]{
		Version: "v1", Kind: "Binding", Plural: "bindings",
		Namespaced: true,
		Verbs:      []string{"create"},
		New:        meta.New[corev1.Binding],
		Validate:   ValidateBinding,
	}.Resource()
}
