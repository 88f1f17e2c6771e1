package chain

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// deletion says what a delete does to an object.
type deletion int

const (
	deleteNow     deletion = iota // the key goes away
	deleteLater                   // the object is marked; something will finish it
	alreadyMarked                 // nothing to do: the deletion under way is as fast as the one asked for
)

// planDelete decides what a delete does. With deleteLater, obj (a copy of the stored object, owned by the callee) has been
// changed to its marked state.
func planDelete(s *api.Strategy, obj api.Object, opts *metav1.DeleteOptions, now time.Time) deletion {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return planNamespaceDelete(ns, s, opts, now)
	}
	return planObjectDelete(s, obj, opts, now)
}

func planObjectDelete(s *api.Strategy, obj api.Object, opts *metav1.DeleteOptions, now time.Time) deletion {
	asked := opts.GracePeriodSeconds
	if asked != nil && *asked < 0 {
		asked = new(int64(1))
	}
	graceful := false
	if s.GracePeriod != nil {
		var pending bool
		if graceful, pending = markGraceful(s, obj, asked, now); pending {
			return alreadyMarked
		}
	}
	obj.SetFinalizers(collectorFinalizers(s, obj, opts))
	pending := len(obj.GetFinalizers()) > 0
	switch {
	case graceful && (pending || *obj.GetDeletionGracePeriodSeconds() > 0):
		return deleteLater
	case !graceful && pending:
		markDeleting(obj, now)
		return deleteLater
	default:
		return deleteNow
	}
}

// markGraceful sets or shortens the time an object has to end. Pending tells that it is already ending as fast.
func markGraceful(s *api.Strategy, obj api.Object, asked *int64, now time.Time) (graceful, pending bool) {
	if deleted := obj.GetDeletionTimestamp(); deleted != nil {
		left := obj.GetDeletionGracePeriodSeconds()
		if left == nil || *left == 0 {
			return false, false
		}
		if asked == nil || *asked >= *left {
			return false, true
		}
		period := *asked
		until := deleted.Add(time.Duration(period-*left) * time.Second)
		if until.Before(now) {
			until = now
			if period != 0 {
				period = 1
			}
		}
		obj.SetDeletionTimestamp(new(metav1.NewTime(until)))
		obj.SetDeletionGracePeriodSeconds(&period)
		return true, false
	}
	grace := s.GracePeriod(obj, asked)
	obj.SetDeletionTimestamp(new(metav1.NewTime(now.Add(time.Duration(grace) * time.Second))))
	obj.SetDeletionGracePeriodSeconds(&grace)
	bumpGeneration(obj)
	return true, false
}

// markDeleting marks an object that waits for its finalizers alone.
func markDeleting(obj api.Object, now time.Time) {
	deleted := obj.GetDeletionTimestamp()
	if deleted == nil {
		bumpGeneration(obj)
	}
	if deleted == nil || deleted.After(now) {
		obj.SetDeletionTimestamp(new(metav1.NewTime(now)))
	}
	obj.SetDeletionGracePeriodSeconds(new(int64(0)))
}

func bumpGeneration(obj api.Object) {
	if g := obj.GetGeneration(); g > 0 {
		obj.SetGeneration(g + 1)
	}
}

// collectorFinalizers returns the object's finalizers with those for the garbage collector as the options, the object and
// the kind's default ask.
func collectorFinalizers(s *api.Strategy, obj api.Object, opts *metav1.DeleteOptions) []string {
	has := obj.GetFinalizers()
	if s.NoGarbageCollection {
		return has
	}
	orphan, foreground := propagation(s, has, opts)
	var out []string
	for _, f := range has {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	if len(out) == len(has) && slices.Equal(slices.Sorted(slices.Values(out)), slices.Sorted(slices.Values(has))) {
		return has
	}
	return out
}

// propagation decides what becomes of the dependents: the options first, then finalizers already there, then the kind's
// default.
func propagation(s *api.Strategy, has []string, opts *metav1.DeleteOptions) (orphan, foreground bool) {
	if opts.OrphanDependents != nil { //nolint:staticcheck // old clients still send it
		return *opts.OrphanDependents, false //nolint:staticcheck // as above
	}
	if opts.PropagationPolicy != nil {
		p := *opts.PropagationPolicy
		return p == metav1.DeletePropagationOrphan, p == metav1.DeletePropagationForeground
	}
	for _, f := range has {
		switch f {
		case metav1.FinalizerOrphanDependents:
			return true, false
		case metav1.FinalizerDeleteDependents:
			return false, true
		}
	}
	return s.OrphanByDefault, false
}

// planNamespaceDelete marks a namespace as terminating; it goes away when its content, and then both kinds of finalizers, are
// gone.
func planNamespaceDelete(ns *corev1.Namespace, s *api.Strategy, opts *metav1.DeleteOptions, now time.Time) deletion {
	if ns.DeletionTimestamp.IsZero() {
		ns.DeletionTimestamp = new(metav1.NewTime(now))
		ns.Status.Phase = corev1.NamespaceTerminating
		ns.Finalizers = collectorFinalizers(s, ns, opts)
		return deleteLater
	}
	if len(ns.Spec.Finalizers) > 0 {
		return alreadyMarked
	}
	return planObjectDelete(s, ns, opts, now)
}

// checkPreconditions compares a delete's preconditions with the object.
func checkPreconditions(res *api.Resource, obj api.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	gr := schema.GroupResource{Group: res.Group, Resource: res.Kind}
	if p.UID != nil && *p.UID != obj.GetUID() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID in "+
			"record (%s). The object might have been deleted and then recreated", *p.UID, obj.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not match "+
			"the ResourceVersion in record (%s). The object might have been modified",
			*p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// returnsDeleted tells whether a delete answers with the object's last state, as upstream does for some kinds; for the others
// it answers with a Status.
func returnsDeleted(res *api.Resource) bool {
	switch res.Group {
	case "":
		switch res.Plural {
		case "pods", "services", "namespaces", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims",
			"resourcequotas", "podtemplates":
			return true
		}
		return false
	case "resource.k8s.io":
		return true
	case "storage.k8s.io":
		return res.Plural != "csistoragecapacities"
	default:
		return false
	}
}
