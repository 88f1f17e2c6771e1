package admission

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Verbs of an Operation.
const (
	opCreate = "create"
	opUpdate = "update"
	opDelete = "delete"
)

// groupResource names what the operation is on.
func (op *Operation) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: op.Group, Resource: op.Resource}
}

// on tells whether the operation is on a resource itself, not on a subresource.
func (op *Operation) on(group, resource string) bool {
	return op.Group == group && op.Resource == resource && op.Subresource == ""
}

// name returns the object's name: that of the URL, else the one in the object, else what its name will begin with.
func (op *Operation) name() string {
	if op.Name != "" || op.Object == nil {
		return op.Name
	}
	accessor, err := meta.Accessor(op.Object)
	switch {
	case err != nil:
		return ""
	case accessor.GetName() != "":
		return accessor.GetName()
	}
	return accessor.GetGenerateName()
}

// forbid returns the refusal of the operation.
func (op *Operation) forbid(format string, args ...any) *apierrors.StatusError {
	name := op.name()
	if name == "" {
		name = "Unknown"
	}
	return apierrors.NewForbidden(op.groupResource(), name, fmt.Errorf(format, args...))
}

// unexpected refuses an object of another Go type than the resource has.
func (op *Operation) unexpected(got any) error { return op.forbid("unexpected type %T", got) }

// admitNothing is embedded by plugins that only validate.
type admitNothing struct{}

// Admit implements Plugin.
func (admitNothing) Admit(context.Context, *Operation) error { return nil }

// validateNothing is embedded by plugins that only change objects.
type validateNothing struct{}

// Validate implements Plugin.
func (validateNothing) Validate(context.Context, *Operation) error { return nil }

func resource(group, plural string) schema.GroupResource {
	return schema.GroupResource{Group: group, Resource: plural}
}
