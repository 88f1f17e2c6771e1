package ttlafterfinished

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Controller deletes finished jobs.
type Controller struct{}

// New returns the controller.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "ttl-after-finished-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{{Resource: kinds.Jobs(), Keys: reconcile.Self}}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{{Resource: kinds.Jobs(), Verbs: []client.Verb{client.Delete}}}
}

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	job, ok := reconcile.Get[*batchv1.Job](v, kinds.Jobs(), key.Namespace, key.Name)
	if !ok || job.DeletionTimestamp != nil || job.Spec.TTLSecondsAfterFinished == nil {
		return p, nil
	}
	at, ok := finishedAt(job)
	if !ok {
		return p, nil
	}
	left := at.Add(time.Duration(*job.Spec.TTLSecondsAfterFinished) * time.Second).Sub(v.Now())
	if left > 0 {
		p.Again(left)
		return p, nil
	}
	// The job may just have got a longer time: then its resource version is another.
	w := reconcile.Deleting(kinds.Jobs(), job)
	version, foreground := job.ResourceVersion, metav1.DeletePropagationForeground
	w.Delete.Preconditions.ResourceVersion, w.Delete.PropagationPolicy = &version, &foreground
	p.Add(w)
	return p, nil
}

func finishedAt(job *batchv1.Job) (time.Time, bool) {
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time, !c.LastTransitionTime.IsZero()
		}
	}
	return time.Time{}, false
}
