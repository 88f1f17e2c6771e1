package replicaset

import (
	"fmt"
	"iter"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// burst is how many pods one plan creates or deletes at most; the rest follows when those are seen.
const burst = 500

// Reconcile implements reconcile.Controller.
func (c *Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	obj, ok := v.Get(c.kind.resource, key.Namespace, key.Name)
	if !ok {
		return p, nil // its pods are garbage collection's concern
	}
	rs, ok := c.kind.asSet(obj)
	if !ok {
		return p, fmt.Errorf("object %s has the unexpected type %T", key, obj)
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return p, fmt.Errorf("reading the selector of %s: %w", key, err)
	}
	claims := owner.Claim(rs, selector, podsIn(v, rs, !selector.Empty()))
	active, terminating := split(claims.Mine)

	var first []reconcile.Write
	status, next := c.status(v, key, rs, active, terminating)
	if !equality.Semantic.DeepEqual(rs.Status, status) {
		first = append(first, reconcile.UpdatingStatus(c.kind.resource, c.kind.withStatus(obj, status)))
	}
	p.Again(next)
	if rs.DeletionTimestamp != nil {
		p.Add(first...)
		return p, nil
	}
	if len(claims.Adopt) > 0 {
		first = nil // adoption writes the set as it was read; its status follows with the next plan
	}
	owner.Plan(&p, claims, kinds.Pods(), obj, c.kind.gvk, c.kind.resource)
	c.scale(&p, v, rs, active, first)
	return p, nil
}

// scale adds the creates or deletes that bring the number of active pods to what is asked. The writes in first have no order
// against them and go along with the first group.
func (c *Controller) scale(p *reconcile.Plan, v reconcile.View, rs *appsv1.ReplicaSet, active []*corev1.Pod,
	first []reconcile.Write,
) {
	ref := reconcile.Ref(c.kind.gvk, rs)
	missing := replicas(rs) - len(active)
	if missing > 0 {
		creates := make([]reconcile.Write, 0, min(missing, burst))
		for range cap(creates) {
			creates = append(creates, pods.Creating(pods.FromTemplate(&rs.Spec.Template, rs, c.kind.gvk), ref))
		}
		p.Add(append(first, creates[0])...)
		pods.SlowStart(p, creates[1:], 2)
		return
	}
	if missing < 0 {
		for _, pod := range pods.DeleteFirst(active, c.neighbours(v, rs, active), v.Now())[:min(-missing, burst)] {
			first = append(first, pods.Deleting(pod, ref))
		}
	}
	p.Add(first...)
}

// neighbours returns the pods of all sets that have the same controller as rs. While a deployment rolls out, spreading is
// judged over the old and the new pods together.
func (c *Controller) neighbours(v reconcile.View, rs *appsv1.ReplicaSet, own []*corev1.Pod) []*corev1.Pod {
	ref := metav1.GetControllerOfNoCopy(rs)
	if ref == nil {
		return own
	}
	var all []*corev1.Pod
	for sibling := range v.Index(c.kind.resource, api.IndexController, string(ref.UID)) {
		for pod := range reconcile.Index[*corev1.Pod](v, kinds.Pods(), api.IndexController, string(sibling.GetUID())) {
			all = append(all, pod)
		}
	}
	return all
}

// podsIn yields the set's own pods and the namespace's orphans. Finished pods are left out: they neither count nor are
// adopted.
func podsIn(v reconcile.View, rs *appsv1.ReplicaSet, orphans bool) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for pod := range reconcile.Index[*corev1.Pod](v, kinds.Pods(), api.IndexController, string(rs.UID)) {
			if !pods.Finished(pod) && !yield(pod) {
				return
			}
		}
		if !orphans {
			return
		}
		for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), rs.Namespace) {
			if !pods.Finished(pod) && !hasController(pod) && !yield(pod) {
				return
			}
		}
	}
}

func split(mine []*corev1.Pod) (active, terminating []*corev1.Pod) {
	for _, pod := range mine {
		if pods.Active(pod) {
			active = append(active, pod)
		} else {
			terminating = append(terminating, pod)
		}
	}
	return active, terminating
}

func replicas(rs *appsv1.ReplicaSet) int {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return int(*rs.Spec.Replicas)
}

func hasController(pod *corev1.Pod) bool { return metav1.GetControllerOfNoCopy(pod) != nil }

// matches tells whether the set selects the pod. A selector of nothing selects nothing here.
func matches(rs *appsv1.ReplicaSet, pod *corev1.Pod) bool {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels))
}
