package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/lookup"
)

// NamespaceLifecycle refuses new objects in namespaces that are missing or being deleted, and the deletion of the namespaces
// that a cluster cannot be without.
type NamespaceLifecycle struct {
	validateNothing
	objects *lookup.Reader
}

// NewNamespaceLifecycle returns the plugin.
func NewNamespaceLifecycle(objects *lookup.Reader) *NamespaceLifecycle {
	return &NamespaceLifecycle{objects: objects}
}

// Name implements Plugin.
func (*NamespaceLifecycle) Name() string { return "NamespaceLifecycle" }

// Admit implements Plugin.
func (p *NamespaceLifecycle) Admit(ctx context.Context, op *Operation) error {
	if op.Group == "" && op.Resource == "namespaces" {
		if op.Verb == opDelete && op.Subresource == "" && immortal(op.Name) {
			return op.forbid("this namespace may not be deleted")
		}
		return nil
	}
	// A review that says something of a namespace it may not tell of is allowed to ask: the answer is the review's.
	review := op.Group == "authorization.k8s.io" && op.Resource == "localsubjectaccessreviews"
	if op.Namespace == "" || op.Verb != opCreate || review {
		return nil
	}
	namespace, err := lookup.Get[*corev1.Namespace](ctx, p.objects, resource("", "namespaces"), "", op.Namespace)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return apierrors.NewInternalError(err)
	case namespace.Status.Phase != corev1.NamespaceTerminating && namespace.DeletionTimestamp == nil:
		return nil
	}
	refusal := op.forbid("unable to create new content in namespace %s because it is being terminated", op.Namespace)
	refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: "namespace " + op.Namespace + " is being terminated",
		Field:   "metadata.namespace",
	})
	return refusal
}

func immortal(namespace string) bool {
	switch namespace {
	case metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic:
		return true
	}
	return false
}
