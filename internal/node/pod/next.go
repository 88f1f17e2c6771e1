package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Next decides what should be under way for the pod.
func Next(p *v1.Pod, o *Observed) Plan {
	var plan Plan
	if why := ending(p, o); why != nil {
		planEnd(p, o, why, &plan)
		return plan
	}
	if at, ok := deadline(p, o); ok {
		plan.again(at)
	}
	planRun(p, o, &plan)
	return plan
}

// cause says why a pod must end.
type cause struct {
	// deleted: the API object has a deletion timestamp or is gone.
	deleted bool
	// finished: every container ended by itself, so that nothing need be stopped but sidecars.
	finished bool
	message  string
}

// ending returns why the pod must end, or nil when it should run.
func ending(p *v1.Pod, o *Observed) *cause {
	switch {
	case o.Gone || p.DeletionTimestamp != nil:
		return &cause{deleted: true}
	case o.End != nil:
		return &cause{message: o.End.Message}
	case IsTerminal(o.Last.Phase):
		return &cause{finished: true}
	case deadlinePassed(p, o):
		return &cause{message: deadlineMessage}
	case finished(p, o):
		return &cause{finished: true}
	}
	return nil
}

const (
	deadlineReason  = "DeadlineExceeded"
	deadlineMessage = "Pod was active on the node longer than the specified deadline"
)

// deadline returns when the pod's activeDeadlineSeconds end.
func deadline(p *v1.Pod, o *Observed) (time.Time, bool) {
	if p.Spec.ActiveDeadlineSeconds == nil || o.Last.StartTime == nil {
		return time.Time{}, false
	}
	return o.Last.StartTime.Add(time.Duration(*p.Spec.ActiveDeadlineSeconds) * time.Second), true
}

// deadlinePassed says whether the deadline came before the pod finished by itself.
func deadlinePassed(p *v1.Pod, o *Observed) bool {
	at, ok := deadline(p, o)
	if !ok || o.Now.Before(at) {
		return false
	}
	if !finished(p, o) {
		return true
	}
	for i := range o.Containers {
		if c := &o.Containers[i]; c.State == Exited && c.Finished.After(at) {
			return true
		}
	}
	return false
}

// finished says whether no container of the pod will ever run again: all main containers ended for good, or an init
// container did without success.
func finished(p *v1.Pod, o *Observed) bool {
	ended := false
	all := restartedAll(p, o)
	for _, e := range Entries(p) {
		if e.Role != Init && e.Role != Main {
			continue
		}
		code, ok := exitCode(o, e.Name)
		if c := o.newest(e.Name); c != nil && c.Created.Before(all) {
			ok = false // it starts again with all others
		}
		switch {
		case e.Role == Init && ok && code != 0 && !e.restartsAfter(p, code):
			return true
		case e.Role == Main && (!ok || e.restartsAfter(p, code)):
			return false
		case e.Role == Main:
			ended = true
		}
	}
	return ended
}

// exitCode returns how the named container ended, from the runtime or, where that has forgotten it, from the last status.
func exitCode(o *Observed, name string) (int32, bool) {
	if _, busy := o.Starting[name]; busy {
		return 0, false
	}
	if c := o.newest(name); c != nil {
		return c.ExitCode, c.State == Exited
	}
	if st := statusOf(&o.Last, name); st != nil {
		if t := st.State.Terminated; t != nil {
			return t.ExitCode, true
		}
	}
	return 0, false
}

func planRun(p *v1.Pod, o *Observed, plan *Plan) {
	current := currentSandbox(p, o)
	if current != nil {
		planKills(p, o, current, plan)
	}
	if !o.Mounted {
		if o.Now.Before(o.MountWait.Retry) {
			plan.again(o.MountWait.Retry)
		} else {
			plan.do(Op{Do: MountVolumes})
		}
		return
	}
	if current == nil {
		planSandbox(p, o, plan)
		return
	}
	prune(o, current, plan)
	for _, e := range Entries(p) {
		if e.Role == Ephemeral && o.newest(e.Name) == nil || e.Role == Ephemeral && starting(o, e) {
			start(o, e, plan)
		}
	}
	all := restartedAll(p, o)
	if stopPast(p, o, all, plan) || !planInit(p, o, current, all, plan) {
		return
	}
	for _, e := range Entries(p) {
		if e.Role == Main {
			planContainer(p, o, e, since(o.newest(e.Name), all), plan)
		}
	}
}

// since returns the container unless it was made before a restart of the whole pod.
func since(c *Container, all time.Time) *Container {
	if c != nil && c.State == Exited && c.Created.Before(all) {
		return nil
	}
	return c
}

// stopPast stops what still runs from before a restart of the whole pod, and says whether there is any.
func stopPast(p *v1.Pod, o *Observed, all time.Time, plan *Plan) bool {
	found := false
	for _, c := range o.active() {
		if e, ok := Find(p, c.Name); ok && e.Role != Ephemeral && c.Created.Before(all) {
			plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: Grace(p), Message: restartingAll})
			found = true
		}
	}
	return found
}

const restartingAll = "A container exited and asked for a restart of all containers"

func starting(o *Observed, e Entry) bool {
	_, busy := o.Starting[e.Name]
	return busy
}

// currentSandbox returns the sandbox that the pod's containers belong in, or nil when one must be made.
func currentSandbox(p *v1.Pod, o *Observed) *Sandbox {
	if len(o.Sandboxes) == 0 {
		return nil
	}
	s := &o.Sandboxes[0]
	if !s.Ready || s.Stopped || (!p.Spec.HostNetwork && len(s.IPs) == 0) {
		return nil
	}
	return s
}

const sandboxChanged = "Pod sandbox changed, it will be killed and re-created."

// planSandbox clears what an unusable sandbox left and makes a new one.
func planSandbox(p *v1.Pod, o *Observed, plan *Plan) {
	if active := o.active(); len(active) > 0 {
		for _, c := range active {
			plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: Grace(p), Message: sandboxChanged})
		}
		return
	}
	if len(o.Starting) > 0 {
		return
	}
	dirty := false
	for _, s := range o.Sandboxes {
		if !s.Stopped {
			plan.do(Op{Do: StopSandbox, ID: s.ID})
			dirty = true
		}
	}
	if dirty {
		return
	}
	if o.Now.Before(o.SandboxWait.Retry) {
		plan.again(o.SandboxWait.Retry)
		return
	}
	if !p.Spec.HostNetwork && !o.NetworkReady {
		return
	}
	attempt := uint32(0)
	if len(o.Sandboxes) > 0 {
		attempt = o.Sandboxes[0].Attempt + 1
	}
	plan.do(Op{Do: CreateSandbox, Attempt: attempt})
}

// planKills stops running containers that must not go on: changed, unhealthy, or in a sandbox of the past.
func planKills(p *v1.Pod, o *Observed, current *Sandbox, plan *Plan) {
	for _, c := range o.active() {
		e, known := Find(p, c.Name)
		if starting(o, e) && known && c.Restarts == o.Starting[c.Name] {
			continue
		}
		if c.SandboxID != current.ID {
			plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: Grace(p), Message: sandboxChanged})
			continue
		}
		if !known {
			plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: Grace(p)})
			continue
		}
		if op, kill := killOp(p, o, e, c); kill {
			plan.do(op)
		}
	}
}

// killOp returns how to stop a container that its spec or its probes condemn.
func killOp(p *v1.Pod, o *Observed, e Entry, c *Container) (Op, bool) {
	op := Op{Do: StopContainer, Container: c.Name, ID: c.ID, Grace: Grace(p)}
	probes := o.Probes[c.ID]
	restarts := e.restartsAfter(p, 137)
	switch {
	case c.State == Unknown:
		op.Message = fmt.Sprintf("Container %s is in unknown state", c.Name)
	case e.Role == Init || e.Role == Ephemeral:
		return Op{}, false
	case c.Hash != "" && c.Hash != SpecHash(e.Container):
		op.Message = fmt.Sprintf("Container %s definition changed", c.Name)
		restarts = true
	case probes.Startup == Failure:
		op.Message = fmt.Sprintf("Container %s failed startup probe", c.Name)
		op.Grace = probeGrace(p, e.StartupProbe)
	case probes.Liveness == Failure:
		op.Message = fmt.Sprintf("Container %s failed liveness probe", c.Name)
		op.Grace = probeGrace(p, e.LivenessProbe)
	default:
		return Op{}, false
	}
	if restarts {
		op.Message += ", will be restarted"
	}
	return op, true
}

// planContainer starts the container or starts it again, when it should and may. c is its newest instance, or nil.
func planContainer(p *v1.Pod, o *Observed, e Entry, c *Container, plan *Plan) {
	if starting(o, e) {
		start(o, e, plan)
		return
	}
	switch {
	case c == nil:
		if code, ended := exitCode(o, e.Name); o.newest(e.Name) == nil && ended && !e.restartsAfter(p, code) {
			return
		}
		if past := o.newest(e.Name); past != nil && past.State == Exited && backsOff(o, e, past, plan) {
			return
		}
		start(o, e, plan)
	case c.State == Created:
		// Made by an agent that died before it could start it.
		plan.do(Op{Do: RemoveContainer, Container: c.Name, ID: c.ID})
	case c.State == Exited && e.restartsAfter(p, restartCode(e, c)):
		if !backsOff(o, e, c, plan) {
			start(o, e, plan)
		}
	}
}

// backsOff says whether the container that ended must still wait, and when to come back.
func backsOff(o *Observed, e Entry, c *Container, plan *Plan) bool {
	at := o.Backoff[e.Name].until(c.Finished)
	if !o.Now.Before(at) {
		return false
	}
	plan.again(at)
	plan.BackOff = append(plan.BackOff, e.Name)
	return true
}

// restartCode is the exit code that the restart policy judges. A container whose spec changed starts again whatever it says.
func restartCode(e Entry, c *Container) int32 {
	if c.Hash != "" && c.Hash != SpecHash(e.Container) && c.ExitCode == 0 {
		return 137
	}
	return c.ExitCode
}

// start emits the start of a container unless an earlier failure must be waited out.
func start(o *Observed, e Entry, plan *Plan) {
	if attempt, busy := o.Starting[e.Name]; busy {
		plan.do(Op{Do: StartContainer, Container: e.Name, Attempt: uint32(attempt)})
		return
	}
	if t, failed := o.Trouble[e.Name]; failed && o.Now.Before(t.Retry) {
		plan.again(t.Retry)
		if at := t.backingOffAt(); o.Now.Before(at) {
			plan.again(at)
		}
		return
	}
	plan.do(Op{Do: StartContainer, Container: e.Name, Attempt: uint32(o.restarts(e.Name))})
}

// prune removes what nobody can ask for any more: of each container all but the two newest instances, and earlier sandboxes
// without containers. current is nil for a pod that ended.
func prune(o *Observed, current *Sandbox, plan *Plan) {
	seen := map[string]int{}
	inUse := map[string]bool{}
	for i := range o.Containers {
		c := &o.Containers[i]
		seen[c.Name]++
		if seen[c.Name] > 2 && c.State == Exited {
			plan.do(Op{Do: RemoveContainer, Container: c.Name, ID: c.ID})
		}
		inUse[c.SandboxID] = true
	}
	for _, s := range o.Sandboxes {
		switch {
		case current == nil || s.ID == current.ID:
		case !s.Stopped:
			plan.do(Op{Do: StopSandbox, ID: s.ID})
		case !inUse[s.ID]:
			plan.do(Op{Do: RemoveSandbox, ID: s.ID})
		}
	}
}
