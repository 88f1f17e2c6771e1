package admission

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"

	"coracle.dev/coracle/internal/apiserver/lookup"
)

// DefaultIngressClass gives ingresses that name no class the default one.
type DefaultIngressClass struct {
	validateNothing
	objects *lookup.Reader
}

// NewDefaultIngressClass returns the plugin.
func NewDefaultIngressClass(objects *lookup.Reader) *DefaultIngressClass {
	return &DefaultIngressClass{objects: objects}
}

// Name implements Plugin.
func (*DefaultIngressClass) Name() string { return "DefaultIngressClass" }

// Admit implements Plugin.
func (p *DefaultIngressClass) Admit(_ context.Context, op *Operation) error {
	if op.Verb != opCreate || !op.on(networkingv1.GroupName, "ingresses") {
		return nil
	}
	ingress, ok := op.Object.(*networkingv1.Ingress)
	if !ok {
		return op.unexpected(op.Object)
	}
	if _, named := ingress.Annotations["kubernetes.io/ingress.class"]; named || ingress.Spec.IngressClassName != nil {
		return nil
	}
	snapshot, err := p.objects.Snapshot(resource(networkingv1.GroupName, "ingressclasses"))
	if err != nil {
		return op.forbid("%w", err)
	}
	var found *networkingv1.IngressClass
	for obj := range snapshot.All("") {
		class, ok := obj.(*networkingv1.IngressClass)
		marked := ok && class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
		if marked && (found == nil || newer(class, found)) {
			found = class
		}
	}
	if found != nil {
		name := found.Name
		ingress.Spec.IngressClassName = &name
	}
	return nil
}
