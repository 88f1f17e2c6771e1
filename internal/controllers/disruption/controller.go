package disruption

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// Controller is the disruption controller. Its keys are budgets.
type Controller struct{}

// New returns the controller.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "disruption-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.PodDisruptionBudgets(), Keys: reconcile.Self},
		{Resource: kinds.Pods(), Keys: budgetsOf, Relevant: matters},
		{Resource: kinds.ReplicaSets()},
		{Resource: kinds.ReplicationControllers(), Keys: budgetsOfOwner, Relevant: resized},
		{Resource: kinds.Deployments(), Keys: budgetsOfOwner, Relevant: resized},
		{Resource: kinds.StatefulSets(), Keys: budgetsOfOwner, Relevant: resized},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.PodDisruptionBudgets(), Subresource: "status", Verbs: []client.Verb{client.Update}},
	}
}

func budgetsOf(v reconcile.View, obj api.Object) []reconcile.Key {
	return matching(v, obj.GetNamespace(), obj.GetLabels())
}

func matching(v reconcile.View, namespace string, l map[string]string) []reconcile.Key {
	var keys []reconcile.Key
	for b := range reconcile.All[*policyv1.PodDisruptionBudget](v, kinds.PodDisruptionBudgets(), namespace) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(l)) {
			keys = append(keys, reconcile.KeyOf(b))
		}
	}
	return keys
}

// budgetsOfOwner returns the budgets that select the pods an owner makes.
func budgetsOfOwner(v reconcile.View, obj api.Object) []reconcile.Key {
	var template *corev1.PodTemplateSpec
	switch o := obj.(type) {
	case *appsv1.Deployment:
		template = &o.Spec.Template
	case *appsv1.StatefulSet:
		template = &o.Spec.Template
	case *corev1.ReplicationController:
		template = o.Spec.Template
	}
	if template == nil {
		return nil
	}
	return matching(v, obj.GetNamespace(), template.Labels)
}

func matters(old, obj api.Object) bool {
	a, ok1 := old.(*corev1.Pod)
	b, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 || pods.Ready(a) != pods.Ready(b) || pods.Finished(a) != pods.Finished(b) ||
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || !labels.Equals(a.Labels, b.Labels)
}

func resized(old, obj api.Object) bool { return scaleOf(old) != scaleOf(obj) }

// scaleOf returns how many pods a workload should have, -1 when that is not known of its kind.
func scaleOf(obj api.Object) int32 {
	var replicas *int32
	switch o := obj.(type) {
	case *appsv1.Deployment:
		replicas = o.Spec.Replicas
	case *appsv1.ReplicaSet:
		replicas = o.Spec.Replicas
	case *appsv1.StatefulSet:
		replicas = o.Spec.Replicas
	case *corev1.ReplicationController:
		replicas = o.Spec.Replicas
	default:
		return -1
	}
	if replicas == nil {
		return 1
	}
	return *replicas
}

// workloadOf returns the workload that says how many pods like this there should be: the deployment behind a replica set.
func workloadOf(v reconcile.View, pod *corev1.Pod) (uid types.UID, scale int32, ok bool) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return "", 0, false
	}
	owner, ok := find(v, pod.Namespace, ref)
	if !ok {
		return "", 0, false
	}
	if up := metav1.GetControllerOfNoCopy(owner); up != nil && ref.Kind == "ReplicaSet" {
		if d, ok := find(v, pod.Namespace, up); ok {
			owner = d
		}
	}
	return owner.GetUID(), scaleOf(owner), true
}

func find(v reconcile.View, namespace string, ref *metav1.OwnerReference) (api.Object, bool) {
	resource := kinds.ReplicationControllers()
	switch ref.Kind {
	case "ReplicaSet":
		resource = kinds.ReplicaSets()
	case "Deployment":
		resource = kinds.Deployments()
	case "StatefulSet":
		resource = kinds.StatefulSets()
	case "ReplicationController":
	default:
		return nil, false
	}
	obj, ok := v.Get(resource, namespace, ref.Name)
	if !ok || obj.GetUID() != ref.UID {
		return nil, false
	}
	return obj, true
}
