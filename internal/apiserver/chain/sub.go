package chain

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// createSub serves POST to the subresources that the chain itself knows.
func (c *Chain) createSub(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	switch call.Sub.Name {
	case "binding":
		return c.bind(ctx, call, obj)
	case "eviction":
		return c.evict(ctx, call, obj)
	}
	return nil, apierrors.NewMethodNotSupported(call.groupResource(), "create")
}

// updateSub serves PUT to subresources of another kind than their resource.
func (c *Chain) updateSub(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	if call.Sub.Name == "scale" && call.Target.Resource.Scale != nil {
		return c.updateScale(ctx, call, obj)
	}
	return nil, apierrors.NewMethodNotSupported(call.groupResource(), "update")
}

// patchSub serves PATCH to subresources of another kind than their resource.
func (c *Chain) patchSub(ctx context.Context, call *Call, req PatchRequest) (runtime.Object, error) {
	if call.Sub.Name == "scale" && call.Target.Resource.Scale != nil {
		return c.patchScale(ctx, call, req)
	}
	return nil, apierrors.NewMethodNotSupported(call.groupResource(), "patch")
}

// GetSub serves GET of a subresource: the object itself, or its scale.
func (c *Chain) GetSub(ctx context.Context, call *Call, resourceVersion string) (Item, runtime.Object, error) {
	item, err := c.Get(ctx, call, resourceVersion)
	if err != nil || call.OwnKind() {
		return item, nil, err
	}
	if call.Sub.Name != "scale" || call.Target.Resource.Scale == nil {
		return item, nil, apierrors.NewMethodNotSupported(call.groupResource(), "get")
	}
	obj, err := item.Object()
	if err != nil {
		return item, nil, err
	}
	return item, scaleOf(call.Target.Resource, obj), nil
}
