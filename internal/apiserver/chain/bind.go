package chain

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
)

// bind assigns a pod to a node: POST to pods/binding, or to bindings with the pod's name in the body.
func (c *Chain) bind(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	b, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", obj))
	}
	name := call.Name
	if name == "" {
		name = b.Name
	}
	if b.Name != name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := core.ValidateBinding(b); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Binding"}, b.Name, errs)
	}
	op := call.operation("create", b, nil)
	if err := c.admit(ctx, op); err != nil {
		return nil, err
	}
	if err := c.validate(ctx, op); err != nil {
		return nil, err
	}
	pods, k, err := c.podKind(ctx)
	if err != nil {
		return nil, err
	}
	inner := *call
	inner.Target = pods
	inner.Attributes.Resource, inner.Attributes.Subresource, inner.Attributes.Name = "pods", "", name
	_, _, err = c.update(ctx, &inner, k, rules{raw: true, unconditional: true}, func(old api.Object) (api.Object, error) {
		pod, ok := old.DeepCopyObject().(*corev1.Pod)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("binding of a %T", old))
		}
		if err := assign(pod, b, c.cfg.Now()); err != nil {
			return nil, err
		}
		return pod, nil
	})
	if err != nil {
		return nil, err
	}
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: http.StatusCreated,
	}, nil
}

// assign writes a binding into a pod.
func assign(pod *corev1.Pod, b *corev1.Binding, now time.Time) error {
	conflict := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, pod.Name, fmt.Errorf(format, args...))
	}
	switch {
	case b.UID != "" && b.UID != pod.UID:
		return conflict("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, pod.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != pod.ResourceVersion:
		return conflict("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
			b.ResourceVersion, pod.ResourceVersion)
	case pod.DeletionTimestamp != nil:
		return conflict("pod %s is being deleted, cannot be assigned to a host", pod.Name)
	case pod.Spec.NodeName != "":
		return conflict("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName)
	case len(pod.Spec.SchedulingGates) > 0:
		return conflict("pod %v has non-empty .spec.schedulingGates", pod.Name)
	}
	pod.Spec.NodeName = b.Target.Name
	if len(b.Annotations) > 0 {
		pod.Annotations = merged(pod.Annotations, b.Annotations)
	}
	if len(b.Labels) > 0 {
		pod.Labels = merged(pod.Labels, b.Labels)
	}
	pod.Status.NominatedNodeName = ""
	setPodCondition(&pod.Status, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, now)
	return nil
}

func merged(into, from map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, into)
	maps.Copy(out, from)
	return out
}
