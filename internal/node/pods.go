package node

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/admit"
	"coracle.dev/coracle/internal/node/pod"
)

// runPods follows the pods assigned to the node and keeps a worker for each, and for what the runtime has of pods that are no
// longer assigned.
func (a *Agent) runPods(ctx context.Context) error {
	cache, err := a.cfg.Client.Cache(client.Selection{Resource: kinds.Pods(), FieldSelector: "spec.nodeName=" + a.cfg.NodeName})
	if err != nil {
		return fmt.Errorf("opening the cache of the node's pods: %w", err)
	}
	// Nothing is taken for gone before the API has answered once.
	for cache.Sync(ctx) != nil {
		if !sleep(ctx, time.Second) {
			return nil
		}
	}
	if !a.waitForRuntime(ctx) {
		return nil
	}
	// Pods are judged by the node's object.
	select {
	case <-a.registered:
	case <-ctx.Done():
		return nil
	}
	snapshot, stream := cache.Follow()
	defer stream.Close()
	known := map[types.UID]bool{}
	var fresh []*v1.Pod
	for obj := range snapshot.All("") {
		if p, ok := obj.(*v1.Pod); ok {
			known[p.UID] = true
			fresh = append(fresh, p)
		}
	}
	orphans, err := a.orphans(ctx, known)
	if err != nil {
		return err
	}
	for _, p := range fresh {
		a.assigned(ctx, p)
	}
	for _, p := range orphans {
		a.start(ctx, p, func(i *inbox) { i.gone = true })
	}
	for {
		changes, err := stream.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("following the node's pods: %w", err)
		}
		for _, e := range changes {
			a.apply(ctx, e)
		}
	}
}

// apply passes a change on. Between two events a pod may have been replaced by another of the same name.
func (a *Agent) apply(ctx context.Context, e client.Event) {
	p, ok := e.Object.(*v1.Pod)
	if !ok {
		return
	}
	if e.Type == client.Deleted {
		a.gone(p)
		return
	}
	if old, ok := e.Old.(*v1.Pod); ok && old.UID != p.UID {
		a.gone(old)
	}
	a.assigned(ctx, p)
}

func (a *Agent) gone(p *v1.Pod) {
	if w := a.worker(p.UID); w != nil {
		w.removed(p)
	}
}

// assigned hands the pod to its worker. A new one is judged first, one at a time, so that two pods don't get the same room.
func (a *Agent) assigned(ctx context.Context, p *v1.Pod) {
	if w := a.worker(p.UID); w != nil {
		w.updated(p)
		return
	}
	refusal := a.judge(p)
	if refusal != nil {
		a.recorder.Event(p, v1.EventTypeWarning, refusal.Reason, refusal.Message)
	}
	a.start(ctx, p, func(i *inbox) {
		if refusal != nil {
			i.end = &pod.End{Reason: refusal.Reason, Message: refusal.Message}
		}
	})
}

// judge asks whether the node takes the pod. A pod that was begun before, by this agent's predecessor, is taken.
func (a *Agent) judge(p *v1.Pod) *admit.Refusal {
	node := a.node.Load()
	if node == nil || p.Status.StartTime != nil || p.DeletionTimestamp != nil || pod.IsTerminal(p.Status.Phase) {
		return nil
	}
	var others []*v1.Pod
	for _, w := range a.all() {
		if other := w.occupies(); other != nil && other.UID != p.UID {
			others = append(others, other)
		}
	}
	return admit.Check(p, node, others)
}

// start makes a worker for the pod, with what is to be known from the first moment.
func (a *Agent) start(ctx context.Context, p *v1.Pod, tell func(*inbox)) {
	w := newWorker(a, p)
	tell(&w.inbox)
	a.mu.Lock()
	a.workers[p.UID] = w
	a.mu.Unlock()
	a.group.Go(func() error {
		w.run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		if w.finished {
			delete(a.workers, p.UID)
		}
		return nil
	})
}

// orphans returns stand-ins for the pods of which something is left on this node, though they are not assigned to it.
func (a *Agent) orphans(ctx context.Context, known map[types.UID]bool) ([]*v1.Pod, error) {
	found := map[types.UID]*v1.Pod{}
	owners, err := a.runtime.Owners(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for pods of the past: %w", err)
	}
	for uid, o := range owners {
		found[types.UID(uid)] = &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Namespace: o.Namespace, Name: o.Name}}
	}
	dirs, err := a.volumes.Pods()
	if err != nil {
		return nil, err
	}
	for _, uid := range a.cgroups.Pods() {
		dirs = append(dirs, types.UID(uid))
	}
	for _, uid := range dirs {
		if found[uid] == nil {
			found[uid] = &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}}
		}
	}
	var orphans []*v1.Pod
	for uid, p := range found {
		if !known[uid] {
			a.cfg.Logger.Info("removing what is left of a pod",
				"kind", "Pod", "namespace", p.Namespace, "name", p.Name, "uid", uid)
			orphans = append(orphans, p)
		}
	}
	return orphans, nil
}

// waitForRuntime waits until the runtime answers; false when ctx ended first.
func (a *Agent) waitForRuntime(ctx context.Context) bool {
	for ctx.Err() == nil {
		info, err := a.runtime.Describe(ctx)
		if err == nil {
			a.runtimeInfo.Store(&info)
			return true
		}
		a.cfg.Logger.Warn("waiting for the container runtime", "socket", a.cfg.RuntimeSocket, "err", err)
		if !sleep(ctx, time.Second) {
			return false
		}
	}
	return false
}

// sleep waits for d; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
