package podgc

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// finished is the key of the one concern that is not a pod's or a node's own.
func finished() reconcile.Key { return reconcile.Key{Name: "finished"} }

// Config of the controller. Zero values mean the defaults.
type Config struct {
	// Finished is how many finished pods are kept. Default 12500; negative: all.
	Finished int
	// Quarantine is how long a node must be absent. Default 40 s.
	Quarantine time.Duration
}

// Controller is the pod garbage collector. Its keys are nodes (by Resource), single pods, and "finished".
type Controller struct {
	cfg  Config
	port reconcile.Port
}

// New returns the controller. node is its port, normally NewNodePort.
func New(cfg Config, node reconcile.Port) *Controller {
	cfg.Finished = cmp.Or(cfg.Finished, 12500)
	cfg.Quarantine = cmp.Or(cfg.Quarantine, 40*time.Second)
	return &Controller{cfg: cfg, port: node}
}

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "pod-garbage-collector" }

// Ports implements reconcile.PortUser.
func (c *Controller) Ports() map[string]reconcile.Port {
	return map[string]reconcile.Port{"node": c.port}
}

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Pods(), Keys: keysOfPod, Relevant: matters},
		{
			Resource: kinds.Nodes(), Keys: keysOfNode,
			Relevant: func(old, obj api.Object) bool { return outOfService(old) != outOfService(obj) },
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

func keysOfPod(v reconcile.View, obj api.Object) []reconcile.Key {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil
	}
	var keys []reconcile.Key
	if pods.Finished(pod) {
		keys = append(keys, finished())
	}
	switch node, known := v.Get(kinds.Nodes(), "", pod.Spec.NodeName); {
	case pod.Spec.NodeName == "":
		if pod.DeletionTimestamp != nil {
			keys = append(keys, reconcile.KeyOf(pod))
		}
	case !known || (pod.DeletionTimestamp != nil && outOfService(node)):
		keys = append(keys, reconcile.Key{Resource: kinds.Nodes(), Name: pod.Spec.NodeName})
	}
	return keys
}

func keysOfNode(_ reconcile.View, obj api.Object) []reconcile.Key {
	return []reconcile.Key{{Resource: kinds.Nodes(), Name: obj.GetName()}}
}

func matters(old, obj api.Object) bool {
	a, ok1 := old.(*corev1.Pod)
	b, ok2 := obj.(*corev1.Pod)
	return !ok1 || !ok2 || a.Spec.NodeName != b.Spec.NodeName || pods.Finished(a) != pods.Finished(b) ||
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil)
}

// outOfService tells whether an administrator has declared that nothing runs on the node any more.
func outOfService(obj api.Object) bool {
	node, ok := obj.(*corev1.Node)
	return ok && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

// Reconcile implements reconcile.Controller.
func (c *Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	switch {
	case key == finished():
		c.trim(&p, v)
	case key.Resource == kinds.Nodes():
		err := c.sweep(&p, v, key.Name)
		return p, err
	default:
		pod, ok := reconcile.Get[*corev1.Pod](v, kinds.Pods(), key.Namespace, key.Name)
		if ok && pod.Spec.NodeName == "" && pod.DeletionTimestamp != nil {
			p.Add(reap(pod))
		}
	}
	return p, nil
}

// trim deletes the oldest finished pods beyond the threshold.
func (c *Controller) trim(p *reconcile.Plan, v reconcile.View) {
	if c.cfg.Finished < 0 {
		return
	}
	var done []*corev1.Pod
	for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), "") {
		if pods.Finished(pod) && pod.DeletionTimestamp == nil {
			done = append(done, pod)
		}
	}
	if len(done) <= c.cfg.Finished {
		return
	}
	slices.SortStableFunc(done, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	var writes []reconcile.Write
	for _, pod := range done[:len(done)-c.cfg.Finished] {
		writes = append(writes, reap(pod))
	}
	p.Add(writes...)
}

// sweep deletes the pods of a node that is gone, or those that are being deleted on a node that is out of service.
func (c *Controller) sweep(p *reconcile.Plan, v reconcile.View, name string) error {
	node, exists := v.Get(kinds.Nodes(), "", name)
	var stuck []*corev1.Pod
	for pod := range reconcile.Index[*corev1.Pod](v, kinds.Pods(), api.IndexNode, name) {
		if !exists || (pod.DeletionTimestamp != nil && outOfService(node)) {
			stuck = append(stuck, pod)
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	if !exists {
		answer, asked := v.Answer("node", name)
		switch gone, ok := answer.Value.(bool); {
		case !asked:
			p.Calls = append(p.Calls, reconcile.Call{
				Port: "node", ID: name, Request: NodeRequest{Name: name, After: c.cfg.Quarantine},
			})
			return nil
		case answer.Err != nil:
			return fmt.Errorf("confirming that node %s is gone: %w", name, answer.Err)
		case !ok || !gone:
			return nil // the view will show it
		}
	}
	var marks, deletes []reconcile.Write
	for _, pod := range stuck {
		if !pods.Finished(pod) {
			marks = append(marks, markFailed(pod, !exists, v.Now()))
		}
		deletes = append(deletes, reap(pod))
	}
	p.Add(marks...)
	p.Add(deletes...)
	return nil
}

// reap deletes a pod without waiting for a node to confirm.
func reap(pod *corev1.Pod) reconcile.Write {
	w := reconcile.Deleting(kinds.Pods(), pod)
	w.Delete.GracePeriodSeconds = new(int64)
	return w
}

// markFailed ends the pod's phase, as no agent will. When its node is gone the reason goes along.
func markFailed(pod *corev1.Pod, nodeGone bool, now time.Time) reconcile.Write {
	status := map[string]any{"phase": corev1.PodFailed}
	if nodeGone {
		status["conditions"] = []any{pods.Disrupted("DeletionByPodGC", "PodGC: node no longer exists", now)}
	}
	return reconcile.PatchingStatus(kinds.Pods(), pod, status)
}
