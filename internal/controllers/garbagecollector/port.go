package garbagecollector

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
)

const portName = "owner"

// OwnerRequest asks whether an owner is gone. Namespace is the dependent's.
type OwnerRequest struct {
	Namespace string
	Reference metav1.OwnerReference
}

// OwnerPort answers an OwnerRequest by a consistent read: true when no object has that name and UID. A kind that is not served
// is an error, as its objects may well exist.
type OwnerPort struct{}

// Call implements reconcile.Port.
func (OwnerPort) Call(ctx context.Context, c client.Interface, request any) (any, error) {
	r, _ := request.(OwnerRequest)
	gv, err := schema.ParseGroupVersion(r.Reference.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("reading the API version of an owner: %w", err)
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: r.Reference.Kind}
	res, ok := c.Catalogue().ForKind(kind)
	if !ok {
		return nil, fmt.Errorf("kind %s is not served", kind)
	}
	namespace := ""
	if res.Namespaced {
		namespace = r.Namespace
	}
	obj, err := c.Get(ctx, res.GroupResource(), namespace, r.Reference.Name)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return nil, err
	}
	return obj.GetUID() != r.Reference.UID, nil
}
