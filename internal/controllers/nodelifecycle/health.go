package nodelifecycle

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// Config of both controllers. Zero values mean the defaults.
type Config struct {
	// Grace is how long a node may be silent. Default 40 s.
	Grace time.Duration
	// StartupGrace is how long a new node may take to its first status. Default 60 s.
	StartupGrace time.Duration
	// EvictionInterval is the least time between two nodes of a zone that get NoExecute taints. Default 10 s.
	EvictionInterval time.Duration
	// SecondaryInterval is the same for a zone of which UnhealthyShare is down, if it has more than LargeZone nodes; a smaller
	// one stops evicting. Defaults 100 s, 0.55 and 50.
	SecondaryInterval time.Duration
	UnhealthyShare    float64
	LargeZone         int
}

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 40*time.Second)
	c.StartupGrace = cmp.Or(c.StartupGrace, time.Minute)
	c.EvictionInterval = cmp.Or(c.EvictionInterval, 10*time.Second)
	c.SecondaryInterval = cmp.Or(c.SecondaryInterval, 100*time.Second)
	c.UnhealthyShare = cmp.Or(c.UnhealthyShare, 0.55)
	c.LargeZone = cmp.Or(c.LargeZone, 50)
	return c
}

// Health is the health controller.
type Health struct{ cfg Config }

// NewHealth returns the health controller.
func NewHealth(cfg Config) *Health { return &Health{cfg: cfg.withDefaults()} }

// Name implements reconcile.Controller.
func (*Health) Name() string { return "node-lifecycle-controller" }

// Inputs implements reconcile.Controller.
func (*Health) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Nodes(), Keys: reconcile.Self, SeenAs: heartbeatOf},
		{
			Resource: kinds.Leases(), Namespace: corev1.NamespaceNodeLease, SeenAs: reconcile.ByVersion,
			Keys: func(_ reconcile.View, obj api.Object) []reconcile.Key { return []reconcile.Key{{Name: obj.GetName()}} },
			// A renewal needs no run: the one that waits for the grace period to pass will see it.
			Relevant: func(api.Object, api.Object) bool { return false },
		},
		{Resource: kinds.Pods(), Keys: keysOfPod, Relevant: becameReady},
	}
}

// Outputs implements reconcile.Controller.
func (*Health) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Nodes(), Verbs: []client.Verb{client.Update}},
		{Resource: kinds.Nodes(), Subresource: "status", Verbs: []client.Verb{client.Update}},
		{Resource: kinds.Pods(), Subresource: "status", Verbs: []client.Verb{client.Patch}},
	}
}

// heartbeatOf makes a node's status a heartbeat only when its agent reported: our own writes leave this time alone.
func heartbeatOf(obj api.Object) string {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return ""
	}
	if c := condition(node, corev1.NodeReady); c != nil {
		return c.LastHeartbeatTime.String()
	}
	return ""
}

func keysOfPod(_ reconcile.View, obj api.Object) []reconcile.Key {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" || !pods.Ready(pod) {
		return nil
	}
	return []reconcile.Key{{Name: pod.Spec.NodeName}}
}

func becameReady(old, obj api.Object) bool {
	a, ok1 := old.(*corev1.Pod)
	b, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 || (pods.Ready(b) && (!pods.Ready(a) || a.Spec.NodeName != b.Spec.NodeName))
}

// Reconcile implements reconcile.Controller.
func (h *Health) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	read, ok := reconcile.Get[*corev1.Node](v, kinds.Nodes(), "", key.Name)
	if !ok || read.DeletionTimestamp != nil {
		return p, nil
	}
	if left := h.silentIn(v, read); left > 0 {
		p.Again(left)
	} else if node := read.DeepCopy(); markSilent(node, v.Now()) {
		// The status goes first and alone: taints follow from it when the view shows it.
		p.Add(reconcile.UpdatingStatus(kinds.Nodes(), node))
		return p, nil
	}
	if taints, changed := withNoSchedule(read, v.Now()); changed {
		node := read.DeepCopy()
		node.Spec.Taints = taints
		p.Add(reconcile.Updating(kinds.Nodes(), node))
	}
	h.markPods(&p, v, read)
	return p, nil
}

// silentIn returns how long the node may stay silent yet; not positive means that it has been for too long.
func (h *Health) silentIn(v reconcile.View, node *corev1.Node) time.Duration {
	heard := v.Seen(node)
	if condition(node, corev1.NodeReady) == nil {
		return heard.Add(h.cfg.StartupGrace).Sub(v.Now())
	}
	if lease, ok := v.Get(kinds.Leases(), corev1.NamespaceNodeLease, node.Name); ok {
		if at := v.Seen(lease); at.After(heard) {
			heard = at
		}
	}
	return heard.Add(h.cfg.Grace).Sub(v.Now())
}

// markSilent makes what the node's agent reports Unknown, and tells whether that changed anything.
func markSilent(node *corev1.Node, now time.Time) bool {
	changed := false
	at := metav1.NewTime(now)
	for _, t := range []corev1.NodeConditionType{
		corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure,
	} {
		c := condition(node, t)
		switch {
		case c == nil:
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
				Type: t, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated",
				Message: "Kubelet never posted node status.", LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: at,
			})
			changed = true
		case c.Status != corev1.ConditionUnknown:
			c.Status, c.Reason, c.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
			c.LastTransitionTime = at
			changed = true
		}
	}
	return changed
}

// markPods makes the pods of a node that is not ready count as not ready. When the agent is silent nobody contradicts. When it
// still reports (the node is not ready for some other reason) each pod is marked once; what the agent says later holds.
func (h *Health) markPods(p *reconcile.Plan, v reconcile.View, node *corev1.Node) {
	ready := condition(node, corev1.NodeReady)
	if ready == nil || ready.Status == corev1.ConditionTrue {
		return
	}
	var writes []reconcile.Write
	for pod := range reconcile.Index[*corev1.Pod](v, kinds.Pods(), api.IndexNode, node.Name) {
		c := pods.Condition(pod, corev1.PodReady)
		if c == nil || c.Status != corev1.ConditionTrue || pods.Finished(pod) {
			continue
		}
		if ready.Status == corev1.ConditionFalse && c.LastTransitionTime.After(ready.LastTransitionTime.Time) {
			continue
		}
		w := reconcile.PatchingStatus(kinds.Pods(), pod, map[string]any{"conditions": []any{map[string]any{
			"type": corev1.PodReady, "status": corev1.ConditionFalse, "lastTransitionTime": metav1.NewTime(v.Now()),
		}}})
		w.Done = &reconcile.Event{
			Regarding: reconcile.Ref(kinds.Pod(), pod), Type: corev1.EventTypeWarning, Reason: "NodeNotReady",
			Message: "Node is not ready",
		}
		writes = append(writes, w)
	}
	if len(writes) > 0 {
		p.Events = append(p.Events, reconcile.Event{
			Regarding: reconcile.Ref(kinds.Node(), node), Type: corev1.EventTypeNormal, Reason: "NodeNotReady",
			Message: fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name),
		})
	}
	p.Add(writes...)
}

func condition(node *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == t {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}
