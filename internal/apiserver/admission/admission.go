package admission

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Operation is one write on its way. Verb is create, update, delete or connect (upstream's CONNECT, for exec and the like).
type Operation struct {
	request.Attributes
	Entry *api.Resource
	// Object is the new state, of the stored Go type (or the subresource's type); nil on delete. Plugins that mutate may
	// change it. Old is the state before (nil on create): shared, not to be changed.
	Object  runtime.Object
	Old     runtime.Object
	DryRun  bool
	Options runtime.Object // *metav1.CreateOptions, UpdateOptions, PatchOptions or DeleteOptions
	Delete  *metav1.DeleteOptions
	// Warn adds a Warning header to the answer.
	Warn func(string)
}

// Plugin is one admission step. Admit may change op.Object; Validate must not. Errors are API Status errors (usually
// Forbidden) or are wrapped as Forbidden by the caller.
type Plugin interface {
	Name() string
	Admit(ctx context.Context, op *Operation) error
	Validate(ctx context.Context, op *Operation) error
}
