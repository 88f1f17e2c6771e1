package core

import (
	"iter"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Siblings returns what selects the pods that serve together with this one: those that have in common with it the selectors of
// every Service that selects it and of the object that controls it (a ReplicaSet, ReplicationController or StatefulSet; others,
// and nil, say nothing). It returns nil when there is no such selector. Services are those of the pod's namespace.
func Siblings(pod *corev1.Pod, services iter.Seq[*corev1.Service], controller any) labels.Selector {
	required := labels.Set{}
	own := labels.Set(pod.Labels)
	for s := range services {
		// A Service without a selector selects nothing. SelectorFromSet would check what the API server has checked.
		if len(s.Spec.Selector) > 0 && labels.Set(s.Spec.Selector).AsSelectorPreValidated().Matches(own) {
			required = labels.Merge(required, s.Spec.Selector)
		}
	}
	var more *metav1.LabelSelector
	switch c := controller.(type) {
	case *corev1.ReplicationController:
		required = labels.Merge(required, c.Spec.Selector)
	case *appsv1.ReplicaSet:
		more = c.Spec.Selector
	case *appsv1.StatefulSet:
		more = c.Spec.Selector
	}
	selector := required.AsSelectorPreValidated()
	if more != nil {
		if s, err := metav1.LabelSelectorAsSelector(more); err == nil {
			reqs, _ := s.Requirements()
			selector = selector.Add(reqs...)
		}
	}
	if selector.Empty() {
		return nil
	}
	return selector
}
