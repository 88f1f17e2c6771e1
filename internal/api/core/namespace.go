package core

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func namespace() *api.Resource {
	gvk := corev1.SchemeGroupVersion.WithKind("Namespace")
	return meta.Entry[*corev1.Namespace]{
		Version: "v1", Kind: "Namespace", Plural: "namespaces",
		Short:   []string{"ns"},
		Verbs:   []string{"create", "delete", "get", "list", "patch", "update", "watch"},
		New:     meta.New[corev1.Namespace],
		NewList: meta.Empty[corev1.NamespaceList],
		Path:    "namespaces",
		Subresources: []api.Subresource{
			{
				Name: "finalize", GVK: gvk, New: meta.Empty[corev1.Namespace], Verbs: []string{"update"},
				PrepareUpdate:  meta.Update(func(n, old *corev1.Namespace) { n.Status = old.Status }),
				ValidateUpdate: meta.ValidateUpdate(false, validateNamespaceFinalize),
				ResetFields:    []string{"status"},
			},
			meta.Status(gvk, meta.Empty[corev1.Namespace]),
		},
		Default:       defaultNamespace,
		PrepareCreate: prepareNamespace,
		PrepareUpdate: func(n, old *corev1.Namespace) {
			n.Spec.Finalizers = old.Spec.Finalizers
			n.Status = old.Status
			labelNamespace(n)
		},
		PrepareStatus: func(n, old *corev1.Namespace) {
			n.Spec = old.Spec
			labelNamespace(n)
		},
		Name:                meta.DNSLabel,
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Status", "Whether the namespace is in use or being emptied."),
			meta.AgeColumn(),
		},
		Row: func(n *corev1.Namespace, now time.Time) []any {
			return []any{n.Name, string(n.Status.Phase), meta.Age(n, now)}
		},
		Fields: func(n *corev1.Namespace) fields.Set {
			return fields.Set{"status.phase": string(n.Status.Phase)}
		},
		Validate:       validateNamespace,
		ValidateUpdate: validateNamespaceUpdate,
		ValidateStatus: validateNamespaceStatus,
	}.Resource()
}

func defaultNamespace(n *corev1.Namespace) {
	labelNamespace(n)
	if n.Status.Phase == "" {
		n.Status.Phase = corev1.NamespaceActive
	}
}

// labelNamespace gives the namespace its own name as a label, by which selectors can name it. A generated name comes later, so
// this runs again before the object is stored.
func labelNamespace(n *corev1.Namespace) {
	if n.Name == "" {
		return
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelMetadataName] = n.Name
}

func prepareNamespace(n *corev1.Namespace) {
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
	labelNamespace(n)
}
