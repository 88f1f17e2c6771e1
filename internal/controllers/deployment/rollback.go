package deployment

import (
	"fmt"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
)

// rollbackTo returns the revision that an old client asked to go back to, through the annotation that carries the field of an
// API version no longer served. kubectl rollout undo does not use it: it writes the old template.
func rollbackTo(d *appsv1.Deployment) *int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedRollbackTo], 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// rollBack puts the asked revision's template back and takes the request away. Revision 0 means the one before the current.
func (r *rollout) rollBack(p *reconcile.Plan) {
	wanted := *rollbackTo(r.d)
	if wanted == 0 {
		wanted = previous(r.all())
	}
	d := r.d.DeepCopy()
	d.Annotations = maps.Clone(d.Annotations)
	delete(d.Annotations, appsv1.DeprecatedRollbackTo)
	target := r.withRevision(wanted)
	switch {
	case target == nil:
		r.event(corev1.EventTypeWarning, "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to.")
	case sameTemplate(&d.Spec.Template, &target.Spec.Template):
		r.event(corev1.EventTypeWarning, "DeploymentRollbackTemplateUnchanged",
			fmt.Sprintf("The rollback revision contains the same template as current deployment %q", d.Name))
	default:
		restore(d, target)
		r.event(corev1.EventTypeNormal, "DeploymentRollback",
			fmt.Sprintf("Rolled back deployment %q to revision %d", d.Name, wanted))
	}
	p.Add(reconcile.Updating(kinds.Deployments(), d))
	p.Events = append(p.Events, r.events...)
}

func (r *rollout) withRevision(wanted int64) *appsv1.ReplicaSet {
	for _, rs := range r.all() {
		if n, ok := revisionOf(rs); ok && wanted > 0 && n == wanted {
			return rs
		}
	}
	return nil
}

// restore copies the set's template and annotations to the deployment.
func restore(d *appsv1.Deployment, from *appsv1.ReplicaSet) {
	d.Spec.Template = *from.Spec.Template.DeepCopy()
	delete(d.Spec.Template.Labels, hashLabel)
	annotations := map[string]string{}
	for k, v := range d.Annotations {
		if notCopied(k) {
			annotations[k] = v
		}
	}
	for k, v := range from.Annotations {
		if !notCopied(k) {
			annotations[k] = v
		}
	}
	d.Annotations = annotations
}

// previous returns the second highest revision, 0 when there is none.
func previous(sets []*appsv1.ReplicaSet) int64 {
	var most, second int64
	for _, rs := range sets {
		n, ok := revisionOf(rs)
		switch {
		case !ok:
		case n >= most:
			most, second = n, most
		case n > second:
			second = n
		}
	}
	return second
}
