package replicaset

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// status returns what the set's status should be, and when a ready pod will next become available (0: none will).
func (c *Controller) status(v reconcile.View, key reconcile.Key, rs *appsv1.ReplicaSet, active, terminating []*corev1.Pod,
) (appsv1.ReplicaSetStatus, time.Duration) {
	status := *rs.Status.DeepCopy()
	status.ObservedGeneration = rs.Generation
	status.Replicas = int32(len(active))
	status.FullyLabeledReplicas, status.ReadyReplicas, status.AvailableReplicas, status.TerminatingReplicas = 0, 0, 0, nil
	if c.kind.terminating {
		n := int32(len(terminating))
		status.TerminatingReplicas = &n
	}
	template := labels.Set(rs.Spec.Template.Labels).AsSelectorPreValidated()
	minReady := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	var next time.Duration
	for _, pod := range active {
		if template.Matches(labels.Set(pod.Labels)) {
			status.FullyLabeledReplicas++
		}
		if pods.Ready(pod) {
			status.ReadyReplicas++
		}
		available, left := pods.Available(pod, minReady, v.Now())
		if available {
			status.AvailableReplicas++
		}
		if left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	status.Conditions = conditions(status.Conditions, failure(v.Last(key)), v.Now())
	return status, next
}

// failure turns what the last plan could not do into a condition, or nil.
func failure(last reconcile.Outcome) *appsv1.ReplicaSetCondition {
	reason := "FailedCreate"
	err := last.Failed(client.Create, kinds.Pods())
	if err == nil {
		reason = "FailedDelete"
		err = last.Failed(client.Delete, kinds.Pods())
	}
	if err == nil {
		return nil
	}
	return &appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason, Message: err.Error(),
	}
}

// conditions puts ReplicaFailure in or takes it out. A condition that is there already stays as it is.
func conditions(old []appsv1.ReplicaSetCondition, failed *appsv1.ReplicaSetCondition, now time.Time,
) []appsv1.ReplicaSetCondition {
	var kept []appsv1.ReplicaSetCondition
	for _, cond := range old {
		if cond.Type != appsv1.ReplicaSetReplicaFailure {
			kept = append(kept, cond)
			continue
		}
		if failed != nil {
			kept, failed = append(kept, cond), nil
		}
	}
	if failed != nil {
		failed.LastTransitionTime = metav1.NewTime(now)
		kept = append(kept, *failed)
	}
	return kept
}
