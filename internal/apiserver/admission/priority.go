package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/lookup"
)

// Priority turns a pod's class into its priority and preemption policy, and keeps the default class the only one.
type Priority struct {
	objects *lookup.Reader
}

// NewPriority returns the plugin.
func NewPriority(objects *lookup.Reader) *Priority { return &Priority{objects: objects} }

// Name implements Plugin.
func (*Priority) Name() string { return "Priority" }

// Admit implements Plugin.
func (p *Priority) Admit(ctx context.Context, op *Operation) error {
	if !op.on("", "pods") || op.Verb != opCreate && op.Verb != opUpdate {
		return nil
	}
	pod, ok := op.Object.(*corev1.Pod)
	if !ok {
		return op.unexpected(op.Object)
	}
	if op.Verb == opUpdate {
		if old, ok := op.Old.(*corev1.Pod); ok {
			keepPriority(pod, old)
		}
		return nil
	}
	class, err := p.classOf(ctx, op, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	if given := pod.Spec.Priority; given != nil && *given != class.Value {
		return op.forbid("the integer value of priority (%d) must not be provided in pod spec; "+
			"priority admission controller computed %d from the given PriorityClass name", *given, class.Value)
	}
	pod.Spec.PriorityClassName = class.Name
	pod.Spec.Priority = &class.Value
	if class.PreemptionPolicy == nil {
		return nil
	}
	if given := pod.Spec.PreemptionPolicy; given != nil && *given != *class.PreemptionPolicy {
		return op.forbid("the string value of PreemptionPolicy (%s) must not be provided in pod spec; "+
			"priority admission controller computed %s from the given PriorityClass name", *given, *class.PreemptionPolicy)
	}
	policy := *class.PreemptionPolicy
	pod.Spec.PreemptionPolicy = &policy
	return nil
}

// keepPriority completes an update that leaves out what this plugin once filled in.
func keepPriority(pod, old *corev1.Pod) {
	if pod.Spec.Priority == nil {
		pod.Spec.Priority = old.Spec.Priority
	}
	if pod.Spec.PreemptionPolicy == nil {
		pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
	}
}

// classOf returns a copy of the class of that name, or of the default one, or of the one that stands for none.
func (p *Priority) classOf(ctx context.Context, op *Operation, name string) (*schedulingv1.PriorityClass, error) {
	gr := resource(schedulingv1.GroupName, "priorityclasses")
	if name != "" {
		class, err := lookup.Get[*schedulingv1.PriorityClass](ctx, p.objects, gr, "", name)
		if apierrors.IsNotFound(err) {
			return nil, op.forbid("no PriorityClass with name %v was found", name)
		}
		if err != nil {
			return nil, fmt.Errorf("failed to resolve PriorityClass with name %s: %w", name, err)
		}
		return class.DeepCopy(), nil
	}
	class, err := p.defaultClass()
	if err != nil {
		return nil, fmt.Errorf("error occurred while retrieving default priority class: %w", err)
	}
	if class != nil {
		return class.DeepCopy(), nil
	}
	lower := corev1.PreemptLowerPriority
	return &schedulingv1.PriorityClass{PreemptionPolicy: &lower}, nil
}

// defaultClass returns nil when there is none, and the lowest when a race made several.
func (p *Priority) defaultClass() (*schedulingv1.PriorityClass, error) {
	snapshot, err := p.objects.Snapshot(resource(schedulingv1.GroupName, "priorityclasses"))
	if err != nil {
		return nil, err
	}
	var found *schedulingv1.PriorityClass
	for obj := range snapshot.All("") {
		class, ok := obj.(*schedulingv1.PriorityClass)
		if ok && class.GlobalDefault && (found == nil || class.Value < found.Value) {
			found = class
		}
	}
	return found, nil
}

// Validate implements Plugin.
func (p *Priority) Validate(_ context.Context, op *Operation) error {
	if !op.on(schedulingv1.GroupName, "priorityclasses") || op.Verb != opCreate && op.Verb != opUpdate {
		return nil
	}
	class, ok := op.Object.(*schedulingv1.PriorityClass)
	if !ok {
		return op.unexpected(op.Object)
	}
	if !class.GlobalDefault {
		return nil
	}
	other, err := p.defaultClass()
	if err != nil {
		return fmt.Errorf("failed to get default priority class: %w", err)
	}
	if other != nil && (op.Verb == opCreate || other.Name != class.Name) {
		return op.forbid("PriorityClass %v is already marked as default. Only one default can exist", other.Name)
	}
	return nil
}
