package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/scheduler/core"
)

// bind assigns the pod to the node. The UID makes sure that it is this pod and no later one of its name.
func (s *Scheduler) bind(ctx context.Context, pod *core.Pod, node string) error {
	_, err := s.cfg.Client.Write(ctx, client.Write{
		Verb: client.Create, Resource: pods(), Subresource: "binding", Namespace: pod.Namespace, Name: pod.Name,
		Object: &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		},
	})
	if err != nil {
		return fmt.Errorf("binding pod %s/%s to node %s: %w", pod.Namespace, pod.Name, node, err)
	}
	return nil
}

// explain tells the pod's owner why there is no node for it: an event, and a condition when it says something new.
func (s *Scheduler) explain(ctx context.Context, pod *core.Pod, message string) {
	s.cfg.Events.Event(pod.Pod, corev1.EventTypeWarning, "FailedScheduling", message)
	patch, err := unschedulable(pod.Pod, message, metav1.NewTime(s.cfg.Clock.Now()))
	if err != nil || patch == nil {
		return
	}
	_, err = s.cfg.Client.Write(ctx, client.Write{
		Verb: client.Patch, Resource: pods(), Subresource: "status", Namespace: pod.Namespace, Name: pod.Name,
		PatchType: types.StrategicMergePatchType, PatchData: patch,
	})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		s.cfg.Logger.Warn("writing a pod's condition", "kind", "Pod", "namespace", pod.Namespace, "name", pod.Name, "err", err)
	}
}

// unschedulable returns the patch that sets the PodScheduled condition, nil when the pod says the same already.
func unschedulable(pod *corev1.Pod, message string, now metav1.Time) ([]byte, error) {
	want := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
		LastTransitionTime: now,
	}
	for _, c := range pod.Status.Conditions {
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message {
			return nil, nil
		}
		if c.Status == want.Status {
			want.LastTransitionTime = c.LastTransitionTime
		}
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status":   map[string]any{"conditions": []corev1.PodCondition{want}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the condition of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return patch, nil
}
