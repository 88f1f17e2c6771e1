package endpointslice

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// managedBy is the value of the managed-by label on our slices, as upstream's controller writes it.
const managedBy = "endpointslice-controller.k8s.io"

// Controller is the endpoint slice controller.
type Controller struct{}

// New returns the controller of EndpointSlices.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "endpointslice-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Services(), Keys: reconcile.Self},
		{Resource: kinds.Pods(), Keys: keysOfPod, Relevant: matters},
		{Resource: kinds.Nodes()},
		{Resource: kinds.EndpointSlices(), Keys: keysOfSlice},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.EndpointSlices(), Verbs: []client.Verb{client.Create, client.Update, client.Delete}},
	}
}

// keysOfPod returns the services that select the pod.
func keysOfPod(v reconcile.View, obj api.Object) []reconcile.Key {
	var keys []reconcile.Key
	for svc := range reconcile.All[*corev1.Service](v, kinds.Services(), obj.GetNamespace()) {
		if selects(svc) && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(obj.GetLabels())) {
			keys = append(keys, reconcile.KeyOf(svc))
		}
	}
	return keys
}

func keysOfSlice(_ reconcile.View, obj api.Object) []reconcile.Key {
	l := obj.GetLabels()
	if l[discoveryv1.LabelManagedBy] != managedBy || l[discoveryv1.LabelServiceName] == "" {
		return nil
	}
	return []reconcile.Key{{Namespace: obj.GetNamespace(), Name: l[discoveryv1.LabelServiceName]}}
}

// selects tells whether the service's endpoints are ours to publish.
func selects(svc *corev1.Service) bool {
	return svc.Spec.Selector != nil && svc.Spec.Type != corev1.ServiceTypeExternalName
}

// matters keeps the changes of a pod that can show in its endpoints.
func matters(old, obj api.Object) bool {
	a, ok1 := old.(*corev1.Pod)
	b, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 ||
		a.Spec.NodeName != b.Spec.NodeName || a.Spec.Hostname != b.Spec.Hostname || a.Spec.Subdomain != b.Spec.Subdomain ||
		a.Status.Phase != b.Status.Phase || pods.Ready(a) != pods.Ready(b) ||
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(a.Status.PodIPs, b.Status.PodIPs) || !equality.Semantic.DeepEqual(a.Labels, b.Labels)
}
