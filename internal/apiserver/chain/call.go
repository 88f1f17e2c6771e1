package chain

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/patch"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Target is what a URL names: a resource at a version, and a subresource or none.
type Target struct {
	Resource *api.Resource
	Version  *api.Version
	Sub      *api.Subresource
}

// Kind is the kind that is read and written there.
func (t Target) Kind() schema.GroupVersionKind {
	if !t.OwnKind() {
		return t.Sub.GVK
	}
	return t.Resource.GVK(t.Version.Name)
}

// New returns an empty object of the type that is read and written there; nil for streams.
func (t Target) New() runtime.Object {
	if t.OwnKind() {
		return t.Version.New()
	}
	if t.Sub.New == nil {
		return nil
	}
	return t.Sub.New()
}

// OwnKind tells whether the target reads and writes the resource's own kind (main resource, status, resize, ...) and not
// another one (scale, token, binding) or a stream (log, which discovery lists as a Pod).
func (t Target) OwnKind() bool {
	return t.Sub == nil || t.Sub.New != nil && t.Sub.GVK.Kind == t.Resource.Kind
}

// Subresource is the subresource's name, or empty.
func (t Target) Subresource() string {
	if t.Sub == nil {
		return ""
	}
	return t.Sub.Name
}

// Call is one API call. It belongs to one goroutine.
type Call struct {
	request.Attributes
	Target
	DryRun       bool
	FieldManager string
	// Validation is Ignore, Warn or Strict: what a patch does with unknown and duplicate fields.
	Validation string
	// Options are the call's options as admission sees them; nil makes empty ones.
	Options runtime.Object
	// Warn adds a Warning header; nil drops warnings.
	Warn func(string)
}

func (c *Call) warn(text string) {
	if c.Warn != nil {
		c.Warn(text)
	}
}

func (c *Call) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: c.Attributes.Group, Resource: c.Attributes.Resource}
}

func (c *Call) patchTarget(k *kind) patch.Target {
	return patch.Target{
		Resource: c.Target.Resource, Version: c.Target.Version, Subresource: c.Target.Subresource(), Stored: k.stored,
	}
}

// Authorize asks whether the call may be made. The error is Forbidden in upstream's words.
func (c *Chain) Authorize(ctx context.Context, a *request.Attributes) error {
	if c.cfg.Authorizer == nil {
		return nil
	}
	decision, reason, err := c.cfg.Authorizer.Authorize(ctx, a)
	if decision == authz.Allow {
		return nil
	}
	if err != nil && reason == "" {
		reason = err.Error()
	}
	return Forbidden(a, reason)
}

// Forbidden is the refusal of a call, in upstream's words.
func Forbidden(a *request.Attributes, reason string) error {
	var b strings.Builder
	b.WriteString(`User "` + a.User.Name + `" cannot ` + a.Verb)
	if !a.IsResource {
		b.WriteString(` path "` + a.Path + `"`)
	} else {
		resource := a.Resource
		if a.Subresource != "" {
			resource += "/" + a.Subresource
		}
		b.WriteString(` resource "` + resource + `" in API group "` + a.Group + `"`)
		if a.Namespace != "" {
			b.WriteString(` in the namespace "` + a.Namespace + `"`)
		} else {
			b.WriteString(" at the cluster scope")
		}
	}
	if reason != "" {
		b.WriteString(": " + reason)
	}
	return &apierrors.StatusError{ErrStatus: forbiddenStatus(a, b.String())}
}

// operation makes what admission plugins look at.
func (c *Call) operation(verb string, obj, old runtime.Object) *admission.Operation {
	a := c.Attributes
	a.Verb = verb
	return &admission.Operation{
		Attributes: a, Entry: c.Target.Resource, Object: obj, Old: old,
		DryRun: c.DryRun, Options: c.Options, Warn: c.warn,
	}
}

// admit runs the mutating half of admission.
func (c *Chain) admit(ctx context.Context, op *admission.Operation) error {
	for _, p := range c.cfg.Admission {
		if err := p.Admit(ctx, op); err != nil {
			return refusal(op, err)
		}
	}
	return nil
}

// validate runs the judging half of admission.
func (c *Chain) validate(ctx context.Context, op *admission.Operation) error {
	for _, p := range c.cfg.Admission {
		if err := p.Validate(ctx, op); err != nil {
			return refusal(op, err)
		}
	}
	return nil
}

// Connect runs admission for a stream or a proxied call to a subresource. Options describe it, such as *corev1.PodExecOptions.
func (c *Chain) Connect(ctx context.Context, call *Call, options runtime.Object) error {
	op := call.operation("connect", options, nil)
	if err := c.admit(ctx, op); err != nil {
		return err
	}
	return c.validate(ctx, op)
}
