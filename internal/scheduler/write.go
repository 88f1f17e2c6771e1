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

// explain tells the pod's owner why there is no node for it: an event, and a condition when it says something new. Nominated is
// the node that the pod was promised, empty for none.
func (s *Scheduler) explain(ctx context.Context, pod *core.Pod, message, nominated string) {
	s.cfg.Events.Event(pod.Pod, corev1.EventTypeWarning, "FailedScheduling", message)
	err := s.patchStatus(ctx, pod, statusPatch{
		Nominated: &nominated,
		Condition: &corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
		},
	})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		s.cfg.Logger.Warn("writing a pod's condition", "kind", "Pod", "namespace", pod.Namespace, "name", pod.Name, "err", err)
	}
}

// statusPatch is what is to be said in a pod's status; nil leaves a field as it is.
type statusPatch struct {
	Condition *corev1.PodCondition
	Nominated *string
}

// patchStatus writes a pod's status unless it says the same already.
func (s *Scheduler) patchStatus(ctx context.Context, pod *core.Pod, p statusPatch) error {
	patch, err := p.against(pod.Pod, metav1.NewTime(s.cfg.Clock.Now()))
	if err != nil || patch == nil {
		return err
	}
	_, err = s.cfg.Client.Write(ctx, client.Write{
		Verb: client.Patch, Resource: pods(), Subresource: "status", Namespace: pod.Namespace, Name: pod.Name,
		PatchType: types.StrategicMergePatchType, PatchData: patch,
	})
	return err
}

// against returns the patch that brings a pod's status to what it should say, nil when it does.
func (p statusPatch) against(pod *corev1.Pod, now metav1.Time) ([]byte, error) {
	status := map[string]any{}
	if p.Nominated != nil && *p.Nominated != pod.Status.NominatedNodeName {
		if status["nominatedNodeName"] = *p.Nominated; *p.Nominated == "" {
			status["nominatedNodeName"] = nil
		}
	}
	if p.Condition != nil {
		if c, news := condition(pod, *p.Condition, now); news {
			status["conditions"] = []corev1.PodCondition{c}
		}
	}
	if len(status) == 0 {
		return nil, nil
	}
	// The UID makes sure that it is this pod and no later one of its name.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return nil, fmt.Errorf("encoding the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return patch, nil
}

// condition completes a condition; false when the pod has the same.
func condition(pod *corev1.Pod, want corev1.PodCondition, now metav1.Time) (corev1.PodCondition, bool) {
	want.LastTransitionTime, want.ObservedGeneration = now, pod.Generation
	for _, c := range pod.Status.Conditions {
		if c.Type != want.Type || c.Status != want.Status {
			continue
		}
		if c.Reason == want.Reason && c.Message == want.Message {
			return c, false
		}
		want.LastTransitionTime = c.LastTransitionTime
	}
	return want, true
}
