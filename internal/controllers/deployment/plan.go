package deployment

import (
	"fmt"
	"iter"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
)

// rollout is one reconcile at work. d and the sets are copies that the steps change; read holds the originals.
type rollout struct {
	v       reconcile.View
	d       *appsv1.Deployment
	newSet  *appsv1.ReplicaSet // the set of the current template; nil when there is none yet
	old     []*appsv1.ReplicaSet
	read    map[types.UID]*appsv1.ReplicaSet
	created bool // newSet does not exist yet
	delete  []*appsv1.ReplicaSet
	last    reconcile.Outcome
	events  []reconcile.Event
}

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	read, ok := reconcile.Get[*appsv1.Deployment](v, kinds.Deployments(), key.Namespace, key.Name)
	if !ok {
		return p, nil
	}
	d := read.DeepCopy()
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return p, fmt.Errorf("reading the selector of %s: %w", key, err)
	}
	if selector.Empty() {
		selectsAll(&p, d)
		return p, nil
	}
	claims := owner.Claim(read, selector, setsIn(v, read))
	owner.Plan(&p, claims, kinds.ReplicaSets(), read, kinds.Deployment(), kinds.Deployments())
	if len(claims.Adopt) > 0 {
		return p, nil // the sets come back with their new owner
	}
	r := newRollout(v, d, claims.Mine, v.Last(key))
	if rollbackTo(d) != nil && !d.Spec.Paused && d.DeletionTimestamp == nil {
		r.rollBack(&p)
		return p, nil
	}
	if err := r.decide(&p); err != nil {
		return p, err
	}
	r.write(&p, read)
	return p, nil
}

// selectsAll refuses to work on an empty selector.
func selectsAll(p *reconcile.Plan, d *appsv1.Deployment) {
	p.Events = append(p.Events, reconcile.Event{
		Regarding: reconcile.Ref(kinds.Deployment(), d), Type: corev1.EventTypeWarning, Reason: "SelectingAll",
		Message: "This deployment is selecting all pods. A non-empty selector is required.",
	})
	if d.Status.ObservedGeneration < d.Generation {
		d.Status.ObservedGeneration = d.Generation
		p.Add(reconcile.UpdatingStatus(kinds.Deployments(), d))
	}
}

// setsIn yields the deployment's own sets and the namespace's orphans.
func setsIn(v reconcile.View, d *appsv1.Deployment) iter.Seq[*appsv1.ReplicaSet] {
	return func(yield func(*appsv1.ReplicaSet) bool) {
		for rs := range reconcile.Index[*appsv1.ReplicaSet](v, kinds.ReplicaSets(), api.IndexController, string(d.UID)) {
			if !yield(rs) {
				return
			}
		}
		for rs := range reconcile.All[*appsv1.ReplicaSet](v, kinds.ReplicaSets(), d.Namespace) {
			if metav1.GetControllerOfNoCopy(rs) == nil && !yield(rs) {
				return
			}
		}
	}
}

func newRollout(v reconcile.View, d *appsv1.Deployment, sets []*appsv1.ReplicaSet, last reconcile.Outcome) *rollout {
	r := &rollout{v: v, d: d, read: map[types.UID]*appsv1.ReplicaSet{}, last: last}
	sets = byAge(sets)
	for _, rs := range sets {
		r.read[rs.UID] = rs
		rs = rs.DeepCopy()
		if rs.Spec.Replicas == nil {
			rs.Spec.Replicas = new(int32)
		}
		// Several sets may have the current template; the oldest is taken.
		if r.newSet == nil && sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
			r.newSet = rs
			continue
		}
		r.old = append(r.old, rs)
	}
	if d.Spec.Replicas == nil {
		one := int32(1)
		d.Spec.Replicas = &one
	}
	return r
}

// decide changes the copies as the deployment's state asks for. The order is upstream's.
func (r *rollout) decide(p *reconcile.Plan) error {
	if r.d.DeletionTimestamp != nil {
		r.syncRevision(false)
		r.d.Status = r.countedStatus()
		return nil
	}
	r.notePause()
	switch {
	case r.d.Spec.Paused:
		r.rescale()
		if rollbackTo(r.d) == nil {
			r.cleanUp()
		}
		return nil
	case r.isScalingEvent():
		r.rescale()
		return nil
	}
	switch r.d.Spec.Strategy.Type {
	case appsv1.RecreateDeploymentStrategyType:
		r.recreate()
	case appsv1.RollingUpdateDeploymentStrategyType, "":
		r.roll()
	default:
		return fmt.Errorf("unexpected deployment strategy type: %s", r.d.Spec.Strategy.Type)
	}
	r.rolloutStatus(p)
	return nil
}

// rescale is what is done when only the number of replicas changed, or nothing may be rolled out.
func (r *rollout) rescale() {
	r.syncRevision(false)
	r.scale()
	r.d.Status = r.countedStatus()
}

// write turns what the copies became into the plan: first the sets, then the status that tells about them. A status that
// reports a failed create goes along with the next try, because a group is not performed after a failed one.
func (r *rollout) write(p *reconcile.Plan, read *appsv1.Deployment) {
	var sets, status []reconcile.Write
	if r.created {
		sets = append(sets, r.creation())
	}
	for _, rs := range r.all() {
		if was := r.read[rs.UID]; was != nil && !equality.Semantic.DeepEqual(was, rs) {
			sets = append(sets, r.update(was, rs))
		}
	}
	for _, rs := range r.delete {
		sets = append(sets, reconcile.Deleting(kinds.ReplicaSets(), rs))
	}
	if !equality.Semantic.DeepEqual(read.Status, r.d.Status) || !equality.Semantic.DeepEqual(read.Annotations, r.d.Annotations) {
		d := read.DeepCopy()
		d.Status, d.Annotations = r.d.Status, r.d.Annotations
		status = append(status, reconcile.UpdatingStatus(kinds.Deployments(), d))
	}
	p.Events = append(p.Events, r.events...)
	if r.created && r.createFailure() != nil {
		p.Add(append(status, sets...)...)
		return
	}
	p.Add(sets...)
	p.Add(status...)
}

// all returns every set, the new one first.
func (r *rollout) all() []*appsv1.ReplicaSet {
	if r.newSet == nil {
		return r.old
	}
	return append([]*appsv1.ReplicaSet{r.newSet}, r.old...)
}

// update returns the write that makes the set what the copy became.
func (r *rollout) update(was, is *appsv1.ReplicaSet) reconcile.Write {
	w := reconcile.Updating(kinds.ReplicaSets(), is)
	from := int32(0)
	if was.Spec.Replicas != nil {
		from = *was.Spec.Replicas
	}
	if to := *is.Spec.Replicas; from != to {
		w.Done = r.scaled(is.Name, from, to)
	}
	return w
}

func (r *rollout) creation() reconcile.Write {
	w := reconcile.Creating(kinds.ReplicaSets(), r.newSet)
	if *r.newSet.Spec.Replicas > 0 {
		w.Done = r.scaled(r.newSet.Name, 0, *r.newSet.Spec.Replicas)
	}
	w.Failed = &reconcile.Event{
		Regarding: reconcile.Ref(kinds.Deployment(), r.d), Type: corev1.EventTypeWarning, Reason: createErrorReason,
		Message: fmt.Sprintf("Failed to create new replica set %q: {error}", r.newSet.Name),
	}
	return w
}

func (r *rollout) scaled(name string, from, to int32) *reconcile.Event {
	way := "up"
	if to < from {
		way = "down"
	}
	return &reconcile.Event{
		Regarding: reconcile.Ref(kinds.Deployment(), r.d), Type: corev1.EventTypeNormal, Reason: "ScalingReplicaSet",
		Message: fmt.Sprintf("Scaled %s replica set %s from %d to %d", way, name, from, to),
	}
}
