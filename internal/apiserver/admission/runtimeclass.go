package admission

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/lookup"
)

// RuntimeClass gives pods the overhead and the scheduling constraints of their runtime class.
type RuntimeClass struct {
	objects *lookup.Reader
}

// NewRuntimeClass returns the plugin.
func NewRuntimeClass(objects *lookup.Reader) *RuntimeClass { return &RuntimeClass{objects: objects} }

// Name implements Plugin.
func (*RuntimeClass) Name() string { return "RuntimeClass" }

// Admit implements Plugin.
func (p *RuntimeClass) Admit(ctx context.Context, op *Operation) error {
	pod, class, err := p.find(ctx, op)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil {
		want := class.Overhead.PodFixed
		if len(pod.Spec.Overhead) > 0 && !equality.Semantic.DeepEqual(want, pod.Spec.Overhead) {
			return op.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
		}
		pod.Spec.Overhead = want.DeepCopy()
	}
	if class.Scheduling == nil {
		return nil
	}
	for key, value := range class.Scheduling.NodeSelector {
		if has, ok := pod.Spec.NodeSelector[key]; ok && has != value {
			return op.forbid("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s",
				key, value, key, has)
		}
	}
	if pod.Spec.NodeSelector == nil {
		pod.Spec.NodeSelector = map[string]string{}
	}
	maps.Copy(pod.Spec.NodeSelector, class.Scheduling.NodeSelector)
	for _, t := range class.Scheduling.Tolerations {
		if !tolerates(pod.Spec.Tolerations, &t) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, *t.DeepCopy())
		}
	}
	return nil
}

// tolerates tells whether the list has the toleration already.
func tolerates(list []corev1.Toleration, t *corev1.Toleration) bool {
	for i := range list {
		if equality.Semantic.DeepEqual(&list[i], t) {
			return true
		}
	}
	return false
}

// Validate implements Plugin.
func (p *RuntimeClass) Validate(ctx context.Context, op *Operation) error {
	pod, class, err := p.find(ctx, op)
	switch {
	case err != nil || pod == nil:
		return err
	case class != nil && class.Overhead != nil:
		if !equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return op.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
		}
	case pod.Spec.Overhead != nil:
		return op.forbid("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}

// find returns no pod when the operation creates none, and no class when the pod names none.
func (p *RuntimeClass) find(ctx context.Context, op *Operation) (*corev1.Pod, *nodev1.RuntimeClass, error) {
	if op.Verb != opCreate || !op.on("", "pods") {
		return nil, nil, nil
	}
	pod, ok := op.Object.(*corev1.Pod)
	if !ok {
		return nil, nil, op.unexpected(op.Object)
	}
	if pod.Spec.RuntimeClassName == nil {
		return pod, nil, nil
	}
	name := *pod.Spec.RuntimeClassName
	class, err := lookup.Get[*nodev1.RuntimeClass](ctx, p.objects, resource(nodev1.GroupName, "runtimeclasses"), "", name)
	if apierrors.IsNotFound(err) {
		return pod, nil, op.forbid("pod rejected: RuntimeClass %q not found", name)
	}
	return pod, class, err
}
