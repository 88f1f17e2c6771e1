package chain

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/patch"
)

func scaleKind() schema.GroupVersionKind { return autoscalingv1.SchemeGroupVersion.WithKind("Scale") }

// scaleOf returns an object's scale, with the metadata that upstream shows there.
func scaleOf(res *api.Resource, obj api.Object) *autoscalingv1.Scale {
	scale := res.Scale.Get(obj)
	scale.ObjectMeta = metav1.ObjectMeta{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
	}
	scale.SetGroupVersionKind(scaleKind())
	return scale
}

// validateScale judges a scale as upstream does.
func validateScale(scale *autoscalingv1.Scale) error {
	var errs field.ErrorList
	if scale.Spec.Replicas < 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas,
			"must be greater than or equal to 0"))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: "autoscaling", Kind: "Scale"}, scale.Name, errs)
}

func (c *Chain) updateScale(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("wrong object passed to Scale update: %T", obj))
	}
	if err := matchName(call.Name, scale); err != nil {
		return nil, err
	}
	return c.writeScale(ctx, call, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return scale, nil })
}

func (c *Chain) patchScale(ctx context.Context, call *Call, req PatchRequest) (runtime.Object, error) {
	if req.Type == types.ApplyPatchType {
		return c.applyScale(ctx, call, req)
	}
	p := patch.Patch{Type: req.Type, Data: req.Data, Strict: call.Validation == "Strict" || call.Validation == "Warn"}
	warned := false
	return c.writeScale(ctx, call, func(now *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		out, problems, err := p.Apply(c.Decoder(), now, &autoscalingv1.Scale{})
		if err != nil {
			return nil, err
		}
		if err := strictProblems(call, problems, p.StrictError, &warned); err != nil {
			return nil, err
		}
		scale, ok := out.(*autoscalingv1.Scale)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("patch made a %T", out))
		}
		return scale, matchName(call.Name, scale)
	})
}

// applyScale is server-side apply of a scale: an apply of the replicas to the object behind it.
func (c *Chain) applyScale(ctx context.Context, call *Call, req PatchRequest) (runtime.Object, error) {
	config, _, err := patch.ParseConfig(req.Data)
	if err != nil {
		return nil, err
	}
	replicas, found, err := unstructured.NestedFieldNoCopy(config, "spec", "replicas")
	if err != nil || !found {
		return nil, apierrors.NewBadRequest("an applied scale needs spec.replicas")
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	target := call.patchTarget(k)
	apiVersion, kindName := call.Target.Resource.GVK(call.Target.Version.Name).ToAPIVersionAndKind()
	wanted := map[string]any{
		"apiVersion": apiVersion, "kind": kindName, "metadata": map[string]any{"name": call.Name},
		"spec": map[string]any{"replicas": replicas},
	}
	var merged api.Object
	// First the fields' ownership and conflicts, then the write itself with admission of the scale.
	return c.writeScaleOf(ctx, call, func(old api.Object) (*autoscalingv1.Scale, error) {
		merged, err = c.fields.Apply(target, old, runtime.DeepCopyJSON(wanted), call.FieldManager, req.Force)
		if err != nil {
			return nil, err
		}
		return scaleOf(call.Target.Resource, merged), nil
	}, func(api.Object, api.Object) api.Object { return merged })
}

// writeScale changes the replicas of the object behind a scale. Admission sees the scale, as upstream's does.
func (c *Chain) writeScale(
	ctx context.Context, call *Call, wish func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error),
) (runtime.Object, error) {
	res := call.Target.Resource
	k, err := c.kind(ctx, res)
	if err != nil {
		return nil, err
	}
	target := call.patchTarget(k)
	return c.writeScaleOf(ctx, call,
		func(old api.Object) (*autoscalingv1.Scale, error) { return wish(scaleOf(res, old)) },
		func(next, old api.Object) api.Object { return c.fields.Update(target, old, next, call.FieldManager) })
}

// writeScaleOf is writeScale with the wish in terms of the object, and with who owns what left to own.
func (c *Chain) writeScaleOf(
	ctx context.Context, call *Call, wish func(old api.Object) (*autoscalingv1.Scale, error),
	own func(next, old api.Object) api.Object,
) (runtime.Object, error) {
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	res := call.Target.Resource
	s := k.strategy()
	r := rules{prepare: s.PrepareUpdate, judge: s.ValidateUpdate, unconditional: true, admitted: true, emptied: emptiedRule(k)}
	out, _, err := c.update(ctx, call, k, r, func(old api.Object) (api.Object, error) {
		before := scaleOf(res, old)
		scale, err := wish(old)
		if err != nil {
			return nil, err
		}
		op := call.operation("update", scale, before)
		if err := c.admit(ctx, op); err != nil {
			return nil, err
		}
		if err := validateScale(scale); err != nil {
			return nil, err
		}
		if err := c.validate(ctx, op); err != nil {
			return nil, err
		}
		if scale.UID != "" && scale.UID != old.GetUID() {
			return nil, uidConflict(call, k, scale.UID, old.GetUID())
		}
		next := old.DeepCopyObject().(api.Object)
		res.Scale.Set(next, scale.Spec.Replicas)
		next.SetResourceVersion(scale.ResourceVersion)
		return own(next, old), nil
	})
	if err != nil {
		return nil, err
	}
	obj, ok := out.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("scale of a %T", out))
	}
	return convert.WithKind(scaleOf(res, obj), scaleKind()), nil
}
