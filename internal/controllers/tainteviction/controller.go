package tainteviction

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// Controller is the taint eviction controller. Its keys are pods.
type Controller struct{}

// New returns the controller.
func New() *Controller { return &Controller{} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "taint-eviction-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Pods(), Keys: assigned, Relevant: matters},
		{
			Resource: kinds.Nodes(), Keys: podsOn, SeenAs: taintsOf,
			Relevant: func(old, obj api.Object) bool { return taintsOf(old) != taintsOf(obj) },
		},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Pods(), Verbs: []client.Verb{client.Delete}},
		{Resource: kinds.Pods(), Subresource: "status", Verbs: []client.Verb{client.Patch}},
	}
}

func assigned(_ reconcile.View, obj api.Object) []reconcile.Key {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" || !pods.Active(pod) {
		return nil
	}
	return []reconcile.Key{reconcile.KeyOf(pod)}
}

func matters(old, obj api.Object) bool {
	a, ok1 := old.(*corev1.Pod)
	b, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 || a.Spec.NodeName != b.Spec.NodeName || len(a.Spec.Tolerations) != len(b.Spec.Tolerations)
}

func podsOn(v reconcile.View, obj api.Object) []reconcile.Key {
	var keys []reconcile.Key
	for pod := range v.Index(kinds.Pods(), api.IndexNode, obj.GetName()) {
		keys = append(keys, reconcile.KeyOf(pod))
	}
	return keys
}

// taintsOf is equal for nodes with the same NoExecute taints.
func taintsOf(obj api.Object) string {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return ""
	}
	text := ""
	for _, t := range node.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			text += fmt.Sprintf("%s=%s %s;", t.Key, t.Value, t.TimeAdded)
		}
	}
	return text
}

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	pod, ok := reconcile.Get[*corev1.Pod](v, kinds.Pods(), key.Namespace, key.Name)
	if !ok || !pods.Active(pod) || pod.Spec.NodeName == "" {
		return p, nil
	}
	node, ok := reconcile.Get[*corev1.Node](v, kinds.Nodes(), "", pod.Spec.NodeName)
	if !ok {
		return p, nil
	}
	left, leaves := stays(pod, node, v.Seen(node), v.Now())
	if !leaves {
		return p, nil
	}
	if left > 0 {
		p.Again(left)
		return p, nil
	}
	evict(&p, pod, v.Now())
	return p, nil
}

// stays returns how long the pod may stay on the node; leaves is false when it may for ever. Each taint must be tolerated. Of
// the tolerations that match a taint the shortest counts.
func stays(pod *corev1.Pod, node *corev1.Node, seen, now time.Time) (left time.Duration, leaves bool) {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		seconds, tolerated := tolerates(pod, t)
		if !tolerated {
			return 0, true
		}
		if seconds == nil {
			continue
		}
		since := seen
		if t.TimeAdded != nil {
			since = t.TimeAdded.Time
		}
		rest := since.Add(time.Duration(max(0, *seconds)) * time.Second).Sub(now)
		if !leaves || rest < left {
			left, leaves = rest, true
		}
	}
	return left, leaves
}

// tolerates tells whether the pod tolerates the taint, and for how many seconds (nil: for ever).
func tolerates(pod *corev1.Pod, t *corev1.Taint) (seconds *int64, ok bool) {
	for i := range pod.Spec.Tolerations {
		tol := &pod.Spec.Tolerations[i]
		if !matches(tol, t) {
			continue
		}
		ok = true
		if tol.TolerationSeconds != nil && (seconds == nil || *tol.TolerationSeconds < *seconds) {
			seconds = tol.TolerationSeconds
		}
	}
	return seconds, ok
}

func matches(tol *corev1.Toleration, t *corev1.Taint) bool {
	if (tol.Effect != "" && tol.Effect != t.Effect) || (tol.Key != "" && tol.Key != t.Key) {
		return false
	}
	switch tol.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return tol.Value == t.Value
	default:
		return false
	}
}

// evict marks the pod, so that jobs and users know why, and then deletes it.
func evict(p *reconcile.Plan, pod *corev1.Pod, now time.Time) {
	if c := pods.Condition(pod, corev1.DisruptionTarget); c == nil || c.Status != corev1.ConditionTrue {
		why := pods.Disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
		p.Add(reconcile.PatchingStatus(kinds.Pods(), pod, map[string]any{"conditions": []any{why}}))
	}
	w := reconcile.Deleting(kinds.Pods(), pod)
	w.Done = &reconcile.Event{
		Regarding: reconcile.Ref(kinds.Pod(), pod), Type: corev1.EventTypeNormal, Reason: "TaintManagerEviction",
		Message: fmt.Sprintf("Marking for deletion Pod %s/%s", pod.Namespace, pod.Name),
	}
	p.Add(w)
}
