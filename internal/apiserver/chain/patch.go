package chain

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/patch"
)

// PatchRequest is the body of a patch.
type PatchRequest struct {
	Type types.PatchType
	Data []byte
	// Force takes over fields of other managers (server-side apply only).
	Force bool
}

// Patch changes an object, or by server-side apply creates it. The bool tells that it was created.
func (c *Chain) Patch(ctx context.Context, call *Call, req PatchRequest) (runtime.Object, bool, error) {
	if call.Options == nil {
		call.Options = &metav1.UpdateOptions{FieldManager: call.FieldManager}
	}
	if !call.OwnKind() {
		out, err := c.patchSub(ctx, call, req)
		return out, false, err
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, false, err
	}
	r := c.rulesFor(call, k)
	r.unconditional = true
	if req.Type == types.ApplyPatchType {
		r.createMissing = call.Sub == nil
		return c.apply(ctx, call, k, r, req)
	}
	p := patch.Patch{Type: req.Type, Data: req.Data, Strict: call.Validation == "Strict" || call.Validation == "Warn"}
	warned := false
	return c.update(ctx, call, k, r, func(old api.Object) (api.Object, error) {
		next, problems, err := c.patched(call, p, old)
		if err != nil {
			return nil, err
		}
		if err := strictProblems(call, problems, p.StrictError, &warned); err != nil {
			return nil, err
		}
		if err := matchName(call.Name, next); err != nil {
			return nil, err
		}
		if k.strategy().Default != nil {
			k.strategy().Default(next)
		}
		next.GetObjectKind().SetGroupVersionKind(k.stored.StoredGVK())
		return c.fields.Update(call.patchTarget(k), old, next, call.FieldManager), nil
	})
}

// patched applies a patch to the served version of an object.
func (c *Chain) patched(call *Call, p patch.Patch, old api.Object) (api.Object, []error, error) {
	t := call.Target
	current, err := convert.FromStored(t.Resource, t.Version, old)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(err)
	}
	obj, problems, err := p.Apply(c.Decoder(), current, t.Version.New())
	if err != nil {
		return nil, nil, err
	}
	stored, err := convert.ToStored(t.Resource, t.Version, obj)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if t.Version.ToStored != nil {
		stored = stored.DeepCopyObject().(api.Object)
	}
	return stored, problems, nil
}

// strictProblems refuses or warns of unknown and duplicate fields, as the call asks. Warnings are given once, however often
// the patch is applied anew.
func strictProblems(call *Call, problems []error, refuse func([]error) error, warned *bool) error {
	if len(problems) == 0 {
		return nil
	}
	switch call.Validation {
	case "Strict":
		return refuse(problems)
	case "Warn":
		if !*warned {
			for _, p := range problems {
				call.warn(p.Error())
			}
		}
		*warned = true
	}
	return nil
}

// apply is server-side apply.
func (c *Chain) apply(ctx context.Context, call *Call, k *kind, r rules, req PatchRequest) (runtime.Object, bool, error) {
	if call.FieldManager == "" {
		return nil, false, apierrors.NewBadRequest("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: " +
			"is required for apply patch")
	}
	config, problems, err := patch.ParseConfig(req.Data)
	if err != nil {
		return nil, false, err
	}
	warned := false
	refuse := func(problems []error) error {
		return apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", problems[0]))
	}
	target := call.patchTarget(k)
	return c.update(ctx, call, k, r, func(old api.Object) (api.Object, error) {
		live := old
		if live == nil {
			live = target.Empty()
		}
		next, err := c.fields.Apply(target, live, runtime.DeepCopyJSON(config), call.FieldManager, req.Force)
		if err != nil {
			return nil, err
		}
		if err := strictProblems(call, problems, refuse, &warned); err != nil {
			return nil, err
		}
		if next.GetName() == "" {
			next.SetName(call.Name)
		}
		if err := matchName(call.Name, next); err != nil {
			return nil, err
		}
		if err := matchNamespace(k.res, call.Namespace, next); err != nil {
			return nil, err
		}
		if k.strategy().Default != nil {
			k.strategy().Default(next)
		}
		next.GetObjectKind().SetGroupVersionKind(k.stored.StoredGVK())
		return next, nil
	})
}
