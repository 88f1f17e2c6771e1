package job

import (
	"iter"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
)

// Controller is the job controller.
type Controller struct{}

// New returns the controller.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "job-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Jobs(), Keys: reconcile.Self},
		{Resource: kinds.Pods(), Keys: keysOfPod},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Pods(), Verbs: []client.Verb{client.Create, client.Delete, client.Patch}},
		{Resource: kinds.Jobs(), Subresource: "status", Verbs: []client.Verb{client.Update}},
	}
}

// keysOfPod returns the job that controls the pod, or for an orphan every job that may adopt it.
func keysOfPod(v reconcile.View, obj api.Object) []reconcile.Key {
	if hasController(obj) {
		return owner.Keys(kinds.Job().GroupKind(), obj)
	}
	var keys []reconcile.Key
	for job := range reconcile.All[*batchv1.Job](v, kinds.Jobs(), obj.GetNamespace()) {
		selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(obj.GetLabels())) {
			keys = append(keys, reconcile.KeyOf(job))
		}
	}
	return keys
}

// podsIn yields the job's own pods and the namespace's orphans.
func podsIn(v reconcile.View, job *batchv1.Job) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for pod := range reconcile.Index[*corev1.Pod](v, kinds.Pods(), api.IndexController, string(job.UID)) {
			if !yield(pod) {
				return
			}
		}
		for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), job.Namespace) {
			if !hasController(pod) && !yield(pod) {
				return
			}
		}
	}
}

func hasController(obj metav1.Object) bool { return metav1.GetControllerOfNoCopy(obj) != nil }
