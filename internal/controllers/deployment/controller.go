package deployment

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// Controller is the deployment controller.
type Controller struct{}

// New returns the controller.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "deployment-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Deployments(), Keys: reconcile.Self},
		{Resource: kinds.ReplicaSets(), Keys: keysOfSet},
		{Resource: kinds.Pods(), Keys: keysOfPod, Relevant: ends},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.ReplicaSets(), Verbs: []client.Verb{client.Create, client.Update, client.Patch, client.Delete}},
		{Resource: kinds.Deployments(), Subresource: "status", Verbs: []client.Verb{client.Update}},
		{Resource: kinds.Deployments(), Verbs: []client.Verb{client.Update}}, // only for the rollback annotation of old clients
	}
}

// keysOfSet returns the deployment that controls the set, or for an orphan every deployment that may adopt it.
func keysOfSet(v reconcile.View, obj api.Object) []reconcile.Key {
	if metav1.GetControllerOfNoCopy(obj) != nil {
		return owner.Keys(kinds.Deployment().GroupKind(), obj)
	}
	var keys []reconcile.Key
	for d := range reconcile.All[*appsv1.Deployment](v, kinds.Deployments(), obj.GetNamespace()) {
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(obj.GetLabels())) {
			keys = append(keys, reconcile.KeyOf(d))
		}
	}
	return keys
}

// keysOfPod returns the pod's deployment if it waits for old pods to end: only the Recreate strategy does.
func keysOfPod(v reconcile.View, obj api.Object) []reconcile.Key {
	for _, set := range owner.Keys(kinds.ReplicaSet().GroupKind(), obj) {
		rs, ok := v.Get(kinds.ReplicaSets(), set.Namespace, set.Name)
		if !ok {
			continue
		}
		for _, key := range owner.Keys(kinds.Deployment().GroupKind(), rs) {
			d, ok := reconcile.Get[*appsv1.Deployment](v, kinds.Deployments(), key.Namespace, key.Name)
			if ok && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
				return []reconcile.Key{key}
			}
		}
	}
	return nil
}

// ends keeps the pod changes that matter: its containers ended. A deletion always comes through.
func ends(old, obj api.Object) bool {
	was, ok1 := old.(*corev1.Pod)
	is, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 || pods.Finished(was) != pods.Finished(is)
}
