package deployment

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// roll takes one step of a rolling update: it grows the new set if there is room, else shrinks old ones if enough pods are
// available, and when all is done tidies up.
func (r *rollout) roll() {
	r.syncRevision(true)
	if r.newSet == nil {
		return // a name collision: the next try has another hash
	}
	if r.created || r.growNew() || r.shrinkOld() {
		return
	}
	if complete(r.d, &r.d.Status) {
		r.cleanUp()
	}
}

func (r *rollout) growNew() bool {
	now := *r.newSet.Spec.Replicas
	switch {
	case now == r.desired():
		return false
	case now > r.desired():
		return r.resize(r.newSet, r.desired())
	}
	return r.resize(r.newSet, r.roomForNew())
}

// shrinkOld takes pods from old sets: first those that are not available anyway, which costs nothing, then as many as the
// available ones exceed the minimum. New pods that are not available count as if they were owed.
func (r *rollout) shrinkOld() bool {
	old := byAge(active(r.old))
	least := r.desired() - r.maxUnavailable()
	notYet := *r.newSet.Spec.Replicas - r.newSet.Status.AvailableReplicas
	most := total(r.all()) - least - notYet
	if len(old) == 0 || most <= 0 {
		return false
	}
	shrunk := int32(0)
	for _, rs := range old {
		n := min(most-shrunk, *rs.Spec.Replicas-rs.Status.AvailableReplicas)
		if n > 0 {
			r.resize(rs, *rs.Spec.Replicas-n)
			shrunk += n
		}
	}
	spare := -least
	for _, rs := range append(old, r.newSet) {
		spare += rs.Status.AvailableReplicas
	}
	for _, rs := range old {
		n := min(spare, *rs.Spec.Replicas)
		if n > 0 {
			r.resize(rs, *rs.Spec.Replicas-n)
			spare -= n
			shrunk += n
		}
	}
	return shrunk > 0
}

// recreate ends all old pods before the first new one starts.
func (r *rollout) recreate() {
	r.syncRevision(false)
	shrunk := false
	for _, rs := range active(r.old) {
		shrunk = r.resize(rs, 0) || shrunk
	}
	if shrunk || r.oldPodsRun() {
		return
	}
	if r.newSet == nil {
		r.syncRevision(true)
	}
	if r.newSet == nil {
		return // a name collision: the next try has another hash
	}
	r.resize(r.newSet, r.desired())
	if complete(r.d, &r.d.Status) {
		r.cleanUp()
	}
}

// oldPodsRun tells whether containers of an old set may still be running.
func (r *rollout) oldPodsRun() bool {
	for _, rs := range r.old {
		if rs.Status.Replicas > 0 {
			return true
		}
		for pod := range reconcile.Index[*corev1.Pod](r.v, kinds.Pods(), api.IndexController, string(rs.UID)) {
			if !pods.Finished(pod) {
				return true
			}
		}
	}
	return false
}

// complete tells whether all replicas are of the new set and available, and no old ones are left.
func complete(d *appsv1.Deployment, s *appsv1.DeploymentStatus) bool {
	n := *d.Spec.Replicas
	return s.UpdatedReplicas == n && s.Replicas == n && s.AvailableReplicas == n && s.ObservedGeneration >= d.Generation
}
