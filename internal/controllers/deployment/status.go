package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/reconcile"
)

// Reasons of conditions, as kubectl rollout status knows them.
const (
	updatedReason     = "ReplicaSetUpdated"
	createErrorReason = "ReplicaSetCreateError"
	newSetReason      = "NewReplicaSetCreated"
	foundSetReason    = "FoundNewReplicaSet"
	doneReason        = "NewReplicaSetAvailable"
	timedOutReason    = "ProgressDeadlineExceeded"
	pausedReason      = "DeploymentPaused"
	resumedReason     = "DeploymentResumed"
)

// countedStatus is the status with the sets' counts and the Available condition.
func (r *rollout) countedStatus() appsv1.DeploymentStatus {
	s := *r.d.Status.DeepCopy()
	s.ObservedGeneration = r.d.Generation
	s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas, s.TerminatingReplicas = 0, 0, 0, 0, nil
	known, terminating := false, int32(0)
	for _, rs := range r.all() {
		s.Replicas += rs.Status.Replicas
		s.ReadyReplicas += rs.Status.ReadyReplicas
		s.AvailableReplicas += rs.Status.AvailableReplicas
		if n := rs.Status.TerminatingReplicas; n != nil {
			known, terminating = true, terminating+*n
		}
	}
	if known {
		s.TerminatingReplicas = &terminating
	}
	if r.newSet != nil {
		s.UpdatedReplicas = r.newSet.Status.Replicas
	}
	s.UnavailableReplicas = max(0, total(r.all())-s.AvailableReplicas)
	if s.AvailableReplicas >= r.desired()-r.maxUnavailable() {
		r.setCondition(&s, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable",
			"Deployment has minimum availability.")
	} else {
		r.setCondition(&s, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable",
			"Deployment does not have minimum availability.")
	}
	return s
}

// rolloutStatus is countedStatus and how the rollout goes on. It asks to come back when the progress deadline will have
// passed.
func (r *rollout) rolloutStatus(p *reconcile.Plan) {
	s := r.countedStatus()
	if hasDeadline(r.d) {
		r.noteProgress(&s)
	} else {
		s.Conditions = without(s.Conditions, appsv1.DeploymentProgressing)
	}
	s.Conditions = r.withReplicaFailure(s.Conditions)
	r.d.Status = s
	c := condition(s, appsv1.DeploymentProgressing)
	if c != nil && hasDeadline(r.d) && !complete(r.d, &s) && c.Reason != timedOutReason && c.Reason != doneReason {
		left := c.LastUpdateTime.Add(deadline(r.d)).Sub(r.v.Now())
		p.Again(max(left, 0) + time.Second)
	}
}

func (r *rollout) noteProgress(s *appsv1.DeploymentStatus) {
	before := condition(r.d.Status, appsv1.DeploymentProgressing)
	if s.Replicas == s.UpdatedReplicas && before != nil && before.Reason == doneReason {
		return // there is no rollout under way
	}
	name := fmt.Sprintf("Deployment %q", r.d.Name)
	if r.newSet != nil {
		name = fmt.Sprintf("ReplicaSet %q", r.newSet.Name)
	}
	switch {
	case complete(r.d, s):
		r.setCondition(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, doneReason, name+" has successfully progressed.")
	case r.progressed(s):
		// Progress with the same reason as before still renews the time from which the deadline counts.
		c := r.newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, updatedReason, name+" is progressing.")
		if before != nil && before.Status == corev1.ConditionTrue {
			c.LastTransitionTime = before.LastTransitionTime
		}
		s.Conditions = append(without(s.Conditions, appsv1.DeploymentProgressing), c)
	case r.timedOut(before):
		r.setCondition(s, appsv1.DeploymentProgressing, corev1.ConditionFalse, timedOutReason, name+" has timed out progressing.")
	}
}

func (r *rollout) progressed(s *appsv1.DeploymentStatus) bool {
	was := r.d.Status
	return s.UpdatedReplicas > was.UpdatedReplicas || s.Replicas-s.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		s.ReadyReplicas > was.ReadyReplicas || s.AvailableReplicas > was.AvailableReplicas
}

func (r *rollout) timedOut(c *appsv1.DeploymentCondition) bool {
	switch {
	case c == nil || c.Reason == doneReason:
		return false
	case c.Reason == timedOutReason:
		return true
	}
	return c.LastUpdateTime.Add(deadline(r.d)).Before(r.v.Now())
}

// notePause marks a pause and its end, so that the time of a pause does not count as lack of progress.
func (r *rollout) notePause() {
	c := condition(r.d.Status, appsv1.DeploymentProgressing)
	if !hasDeadline(r.d) || (c != nil && c.Reason == timedOutReason) {
		return
	}
	noted := c != nil && c.Reason == pausedReason
	switch {
	case r.d.Spec.Paused && !noted:
		r.setCondition(&r.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, pausedReason, "Deployment is paused")
	case !r.d.Spec.Paused && noted:
		r.setCondition(&r.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, resumedReason, "Deployment is resumed")
	}
}

// withReplicaFailure takes over the failure of a set, the new one's first.
func (r *rollout) withReplicaFailure(conditions []appsv1.DeploymentCondition) []appsv1.DeploymentCondition {
	for _, rs := range r.all() {
		for _, c := range rs.Status.Conditions {
			if c.Type != appsv1.ReplicaSetReplicaFailure {
				continue
			}
			s := appsv1.DeploymentStatus{Conditions: conditions}
			set(&s, appsv1.DeploymentCondition{
				Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
				LastUpdateTime: c.LastTransitionTime, LastTransitionTime: c.LastTransitionTime,
			})
			return s.Conditions
		}
	}
	return without(conditions, appsv1.DeploymentReplicaFailure)
}

func (r *rollout) newCondition(t appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string,
) appsv1.DeploymentCondition {
	now := metav1.NewTime(r.v.Now())
	return appsv1.DeploymentCondition{
		Type: t, Status: status, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now,
	}
}

func (r *rollout) setCondition(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType, status corev1.ConditionStatus,
	reason, message string,
) {
	set(s, r.newCondition(t, status, reason, message))
}

// set puts the condition in unless one with the same status and reason is there.
func set(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	old := condition(*s, c.Type)
	if old != nil && old.Status == c.Status {
		if old.Reason == c.Reason {
			return
		}
		c.LastTransitionTime = old.LastTransitionTime
	}
	s.Conditions = append(without(s.Conditions, c.Type), c)
}

func without(conditions []appsv1.DeploymentCondition, t appsv1.DeploymentConditionType) []appsv1.DeploymentCondition {
	return slices.DeleteFunc(slices.Clone(conditions), func(c appsv1.DeploymentCondition) bool { return c.Type == t })
}

func condition(s appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}

func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

func deadline(d *appsv1.Deployment) time.Duration {
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
}
