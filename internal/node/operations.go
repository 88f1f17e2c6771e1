package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/downward"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/probe"
)

// The delays after failures: the first, and the longest.
const (
	mountFirst, mountMost     = 500 * time.Millisecond, 2 * time.Minute
	sandboxFirst, sandboxMost = time.Second, 10 * time.Second
	otherFirst, otherMost     = time.Second, 30 * time.Second
	pullFirst, pullMost       = 10 * time.Second, 5 * time.Minute
	startAgain                = 10 * time.Second
	renewAgain                = time.Minute
	// announceEvery is how often an event about a waiting container is repeated.
	announceEvery = 10 * time.Second
)

// reconcile cancels what is no longer wanted and begins what is. It returns when a paused operation may be tried again.
func (w *worker) reconcile(ctx context.Context, o *pod.Observed, plan pod.Plan, now time.Time) time.Time {
	wanted := make(map[string]pod.Op, len(plan.Ops))
	for _, op := range plan.Ops {
		wanted[op.Key()] = op
	}
	for key, r := range w.running {
		if op, ok := wanted[key]; (!ok || op != r.op) && r.op.Cancelable() {
			r.cancel() // begun again, if wanted, when it has returned
		}
	}
	var again time.Time
	for _, op := range plan.Ops {
		key := op.Key()
		if w.running[key] != nil {
			continue
		}
		if pause, ok := w.pauses[key]; ok && now.Before(pause.until) {
			sooner(&again, pause.until)
			continue
		}
		w.begin(ctx, op, o)
	}
	return again
}

// begin starts an operation in the background.
func (w *worker) begin(ctx context.Context, op pod.Op, o *pod.Observed) {
	if op.Do == pod.StartContainer {
		w.backoff[op.Container] = pod.AfterStart(o, op.Container)
	}
	if op.Do == pod.StopContainer {
		w.sayKilling(op)
	}
	opCtx, cancel := context.WithCancel(ctx)
	w.running[op.Key()] = &operation{op: op, cancel: cancel}
	job := job{
		agent: w.agent, worker: w, pod: w.pod, op: op, sandbox: w.sandbox(), ips: pod.IPs(w.pod, o),
		targets: w.ids(), hooked: &w.hooked, started: w.agent.cfg.Now(),
	}
	go func() {
		err := job.do(opCtx)
		cancel()
		select {
		case w.done <- result{op, err}:
		case <-ctx.Done():
		}
	}()
}

// sandbox returns the newest sandbox.
func (w *worker) sandbox() pod.Sandbox {
	if len(w.view.Sandboxes) == 0 {
		return pod.Sandbox{}
	}
	return w.view.Sandboxes[0]
}

// ids returns the newest container ID of each name.
func (w *worker) ids() map[string]string {
	ids := map[string]string{}
	for _, c := range w.view.Containers {
		if _, ok := ids[c.Name]; !ok && c.State == pod.Running {
			ids[c.Name] = c.ID
		}
	}
	return ids
}

func (w *worker) sayKilling(op pod.Op) {
	if w.pauses[op.Key()].delay > 0 {
		return // said before
	}
	message := op.Message
	if message == "" {
		message = "Stopping container " + op.Container
	}
	w.agent.containerEvent(w.pod, op.Container, v1.EventTypeNormal, "Killing", message)
}

// took takes the result of one operation and says whether the runtime should be looked at.
func (w *worker) took(r result) bool {
	key := r.op.Key()
	if r.op == refreshOp() {
		w.refreshed(r.err)
		return false
	}
	delete(w.running, key)
	now := w.agent.cfg.Now()
	if r.err == nil {
		delete(w.pauses, key)
		w.succeeded(r.op)
		return r.op.Do != pod.DeletePod
	}
	if cri.Canceled(r.err) {
		return true
	}
	switch r.op.Do {
	case pod.MountVolumes:
		w.mountWait = w.mountWait.failed(now, mountFirst, mountMost, r.err.Error())
		w.sayMountFailed(r.err)
	case pod.CreateSandbox:
		w.sandboxWait = w.sandboxWait.failed(now, sandboxFirst, sandboxMost, r.err.Error())
		w.agent.recorder.Eventf(w.pod, v1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", r.err)
	case pod.StartContainer:
		w.startFailed(r.op, r.err, now)
	default:
		w.pauses[key] = w.pauses[key].failed(now, otherFirst, otherMost, r.err.Error())
		w.log.Warn("an operation failed", "operation", r.op.String(), "err", r.err)
		if r.op.Do == pod.StopContainer || r.op.Do == pod.StopSandbox {
			w.agent.recorder.Eventf(w.pod, v1.EventTypeWarning, "FailedKillPod", "error killing pod: %v", r.err)
		}
	}
	return true
}

func (w *worker) succeeded(op pod.Op) {
	switch op.Do {
	case pod.MountVolumes:
		w.mounted, w.mountWait = true, wait{}
		w.renewAt = w.agent.volumes.Due(w.pod.UID)
	case pod.CreateSandbox:
		w.sandboxWait = wait{}
	case pod.StartContainer:
		delete(w.trouble, op.Container)
		delete(w.pullDelay, op.Container)
	case pod.StopSandbox:
		w.stopped[op.ID] = true
	case pod.Release:
		w.released, w.mounted = true, false
	case pod.RemoveContainer:
		w.agent.runtime.Forget(op.ID)
		w.hooked.Delete(op.ID)
	case pod.RemoveSandbox:
		w.agent.runtime.Forget(op.ID)
		delete(w.stopped, op.ID)
	case pod.Forget:
		w.finished = true
	case pod.StopContainer, pod.DeletePod:
	}
}

// startFailed remembers why a container did not start and when to try again.
func (w *worker) startFailed(op pod.Op, err error, now time.Time) {
	f := asFailure(err)
	w.agent.containerEvent(w.pod, op.Container, v1.EventTypeWarning, "Failed", "Error: "+f.event())
	t := pod.Trouble{Reason: f.reason, Message: f.message, At: now, Retry: now.Add(startAgain)}
	switch {
	case f.made:
		// The container exists and has ended: its back-off counts.
		t.Retry = now
	case f.pull:
		delay := w.pullDelay[op.Container]
		delay = min(max(2*delay, pullFirst), pullMost)
		w.pullDelay[op.Container] = delay
		t.Retry = now.Add(delay)
	}
	w.trouble[op.Container] = t
}

func (w *worker) sayMountFailed(err error) {
	var all interface{ Unwrap() []error }
	if errors.As(err, &all) {
		for _, one := range all.Unwrap() {
			w.agent.recorder.Event(w.pod, v1.EventTypeWarning, "FailedMount", one.Error())
		}
		return
	}
	w.agent.recorder.Event(w.pod, v1.EventTypeWarning, "FailedMount", err.Error())
}

// announce tells of containers that wait, now and then.
func (w *worker) announce(crashing []string, now time.Time) {
	say := func(name, reason, message string, kind string) {
		if last, said := w.announced[name]; said && now.Sub(last) < announceEvery {
			return
		}
		w.announced[name] = now
		w.agent.containerEvent(w.pod, name, kind, reason, message)
	}
	if w.view.Sandboxes == nil && w.mounted && !w.pod.Spec.HostNetwork && !w.agent.networkReady.Load() {
		if last, said := w.announced[""]; !said || now.Sub(last) >= announceEvery {
			w.announced[""] = now
			w.agent.recorder.Event(w.pod, v1.EventTypeWarning, "NetworkNotReady",
				"network is not ready: container runtime network not ready")
		}
	}
	for _, name := range crashing {
		say(name, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s", name, pod.Describe(w.pod)),
			v1.EventTypeWarning)
	}
	for _, st := range slices.Concat(w.last.InitContainerStatuses, w.last.ContainerStatuses) {
		if st.State.Waiting != nil && st.State.Waiting.Reason == "ImagePullBackOff" {
			if e, ok := pod.Find(w.pod, st.Name); ok {
				say(st.Name, "BackOff", fmt.Sprintf("Back-off pulling image %q", e.Image), v1.EventTypeNormal)
			}
		}
	}
}

const refreshKey = "Refresh  "

// refreshOp stands for writing volumes again in the results; the state machine does not know it.
func refreshOp() pod.Op { return pod.Op{Message: "refresh"} }

// refresh writes volumes again when their content changed or a token is due.
func (w *worker) refresh(ctx context.Context, ending bool, now time.Time) time.Time {
	if !w.mounted || ending {
		return time.Time{}
	}
	due := !w.renewAt.IsZero() && !now.Before(w.renewAt)
	if w.running[refreshKey] != nil || (!w.stale && !due) {
		return w.renewAt
	}
	w.stale = false
	w.renewAt = now.Add(renewAgain)
	opCtx, cancel := context.WithCancel(ctx)
	w.running[refreshKey] = &operation{op: refreshOp(), cancel: cancel}
	p, facts := w.pod, w.facts(w.pod, pod.IPs(w.pod, w.observed(now)))
	go func() {
		_, err := w.mount(opCtx, p, facts)
		cancel()
		select {
		case w.done <- result{refreshOp(), err}:
		case <-ctx.Done():
		}
	}()
	return w.renewAt
}

func (w *worker) refreshed(err error) {
	delete(w.running, refreshKey)
	if err != nil && !errors.Is(err, context.Canceled) {
		w.sayMountFailed(err)
		return
	}
	w.renewAt = w.agent.volumes.Due(w.pod.UID)
}

func (w *worker) mount(ctx context.Context, p *v1.Pod, facts downward.Facts) (time.Time, error) {
	return w.agent.volumes.Mount(ctx, p, facts)
}

func (w *worker) facts(p *v1.Pod, ips []string) downward.Facts {
	f := downward.Facts{Pod: p, PodIPs: ips, HostIPs: w.agent.cfg.NodeIPs}
	if n := w.agent.node.Load(); n != nil {
		f.Allocatable = n.Status.Allocatable
	}
	return f
}

// updateProbes probes the containers that run and whose start is over.
func (w *worker) updateProbes(ctx context.Context, o *pod.Observed, ending bool) {
	var targets []probe.Target
	ips := pod.IPs(w.pod, o)
	ip := ""
	if len(ips) > 0 {
		ip = ips[0]
	}
	for _, c := range w.view.Containers {
		e, ok := pod.Find(w.pod, c.Name)
		_, starting := o.Starting[c.Name]
		if !ok || c.State != pod.Running || starting || e.Role == pod.Init || e.Role == pod.Ephemeral {
			continue
		}
		targets = append(targets, probe.Target{
			ID: c.ID, Container: e.Container, IP: ip, Started: c.Started, Before: w.before(o, c),
		})
	}
	w.probe.Update(ctx, targets, ending)
}

// before is what an earlier agent reported of a container that still runs.
func (w *worker) before(o *pod.Observed, c pod.Container) pod.Probes {
	for _, st := range slices.Concat(w.pod.Status.InitContainerStatuses, w.pod.Status.ContainerStatuses) {
		if st.ContainerID != o.Runtime+"://"+c.ID {
			continue
		}
		var before pod.Probes
		if st.Started != nil && *st.Started {
			before.Startup = pod.Success
		}
		if st.Ready {
			before.Readiness = pod.Success
		}
		return before
	}
	return pod.Probes{}
}

// metadataChanged says whether something changed that a pod's volumes may show.
func metadataChanged(a, b *v1.Pod) bool {
	return !maps.Equal(a.Labels, b.Labels) || !maps.Equal(a.Annotations, b.Annotations)
}
