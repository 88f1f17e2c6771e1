package pod

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of waiting and terminated containers.
const (
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
	reasonCrashLoop    = "CrashLoopBackOff"
	reasonPullBackOff  = "ImagePullBackOff"
	reasonErrPull      = "ErrImagePull"
	reasonLost         = "ContainerStatusUnknown"
)

// containerStatuses returns the status of every entry of the pod, in Entries order.
func containerStatuses(p *v1.Pod, o *Observed, ending, stopped bool) []v1.ContainerStatus {
	waiting := reasonCreating
	if len(p.Spec.InitContainers) > 0 {
		waiting = reasonInitializing
	}
	entries := Entries(p)
	statuses := make([]v1.ContainerStatus, len(entries))
	for i, e := range entries {
		statuses[i] = containerStatus(p, o, e, waiting, ending)
		if stopped {
			settle(o, e, &statuses[i])
		}
	}
	return statuses
}

func containerStatus(p *v1.Pod, o *Observed, e Entry, waiting string, ending bool) v1.ContainerStatus {
	st := v1.ContainerStatus{Name: e.Name, Image: e.Image}
	last := statusOf(&o.Last, e.Name)
	c := shown(o, e.Name)
	switch {
	case c == nil && last != nil && last.ContainerID != "":
		// The runtime forgot it: what was last known stays.
		st = *last.DeepCopy()
		if st.State.Running != nil && !ending {
			st.LastTerminationState = v1.ContainerState{Terminated: lost(last)}
			st.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: waiting}}
		}
	case c == nil:
		st.State.Waiting = &v1.ContainerStateWaiting{Reason: waiting}
	default:
		fill(o, c, &st)
		fillState(o, c, waiting, &st)
	}
	if !ending {
		fillWaiting(p, o, e, c, &st)
	}
	started := st.State.Running != nil && e.Role != Ephemeral && (c != nil && startupDone(o, e, c))
	st.Started = &started
	st.Ready = ready(o, e, c, &st)
	resources(e, &st)
	return st
}

// shown returns the container that the status speaks of: the newest whose start is over. One that is only made, or whose
// postStart hook still runs, is nobody's news yet.
func shown(o *Observed, name string) *Container {
	attempt, busy := o.Starting[name]
	for i := range o.Containers {
		c := &o.Containers[i]
		if c.Name == name && c.State != Created && !(busy && c.State == Running && c.Restarts == attempt) {
			return c
		}
	}
	return nil
}

// fill copies what the runtime knows of the container.
func fill(o *Observed, c *Container, st *v1.ContainerStatus) {
	st.RestartCount = c.Restarts
	if c.Image != "" {
		st.Image = c.Image
	}
	st.ImageID = c.ImageID
	st.ContainerID = o.Runtime + "://" + c.ID
	st.User = c.User
	for i := range o.Containers {
		prev := &o.Containers[i]
		if prev.Name == c.Name && prev.ID != c.ID && prev.State == Exited {
			st.LastTerminationState.Terminated = terminated(o, prev)
			return
		}
	}
	if last := statusOf(&o.Last, c.Name); last != nil {
		switch {
		case last.ContainerID == st.ContainerID, last.State.Terminated == nil:
			st.LastTerminationState = *last.LastTerminationState.DeepCopy()
		default:
			st.LastTerminationState = *last.State.DeepCopy()
		}
	}
}

func fillState(o *Observed, c *Container, waiting string, st *v1.ContainerStatus) {
	switch c.State {
	case Running:
		st.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(c.Started).Rfc3339Copy()}
	case Exited:
		st.State.Terminated = terminated(o, c)
	default:
		st.State.Waiting = &v1.ContainerStateWaiting{Reason: waiting}
	}
}

// fillWaiting turns the state of a container that ought to run into why it does not.
func fillWaiting(p *v1.Pod, o *Observed, e Entry, c *Container, st *v1.ContainerStatus) {
	if st.State.Running != nil {
		return
	}
	wait := waitingState(p, o, e, c)
	if wait == nil {
		return
	}
	if st.State.Terminated != nil {
		st.LastTerminationState = v1.ContainerState{Terminated: st.State.Terminated}
	}
	st.State = v1.ContainerState{Waiting: wait}
}

func waitingState(p *v1.Pod, o *Observed, e Entry, c *Container) *v1.ContainerStateWaiting {
	if t, failed := o.Trouble[e.Name]; failed {
		if t.Reason == reasonErrPull && !o.Now.Before(t.backingOffAt()) {
			return &v1.ContainerStateWaiting{
				Reason:  reasonPullBackOff,
				Message: fmt.Sprintf("Back-off pulling image %q: %s: %s", e.Image, reasonErrPull, t.Message),
			}
		}
		return &v1.ContainerStateWaiting{Reason: t.Reason, Message: t.Message}
	}
	if c == nil || c.State != Exited || !e.restartsAfter(p, restartCode(e, c)) {
		return nil
	}
	b := o.Backoff[e.Name]
	if !o.Now.Before(b.until(c.Finished)) {
		return nil
	}
	return &v1.ContainerStateWaiting{
		Reason:  reasonCrashLoop,
		Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", b.Delay, e.Name, Describe(p)),
	}
}

func terminated(o *Observed, c *Container) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message, ContainerID: o.Runtime + "://" + c.ID,
		StartedAt: metav1.NewTime(c.Started).Rfc3339Copy(), FinishedAt: metav1.NewTime(c.Finished).Rfc3339Copy(),
	}
	if t.Reason == "" {
		t.Reason = "Error"
		if t.ExitCode == 0 {
			t.Reason = "Completed"
		}
	}
	return t
}

func lost(last *v1.ContainerStatus) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: 137, Reason: reasonLost, ContainerID: last.ContainerID,
		Message: "The container could not be located when the pod was deleted.  The container used to be Running",
	}
	if last.State.Running != nil {
		t.StartedAt = last.State.Running.StartedAt
	}
	return t
}

// settle makes the status of an ended pod's container final: a container that ran has ended, how ever little is known.
func settle(o *Observed, e Entry, st *v1.ContainerStatus) {
	switch {
	case st.State.Terminated != nil:
	case st.State.Running != nil:
		st.State = v1.ContainerState{Terminated: lost(st)}
	case st.LastTerminationState.Terminated != nil && o.newest(e.Name) != nil:
		st.State = st.LastTerminationState
		st.LastTerminationState = v1.ContainerState{}
	}
	started := false
	st.Started = &started
	st.Ready = e.Role == Init && st.State.Terminated != nil && st.State.Terminated.ExitCode == 0
}

func ready(o *Observed, e Entry, c *Container, st *v1.ContainerStatus) bool {
	switch {
	case e.Role == Init:
		return st.State.Terminated != nil && st.State.Terminated.ExitCode == 0
	case e.Role == Ephemeral, st.State.Running == nil, c == nil, !*st.Started:
		return false
	}
	return e.ReadinessProbe == nil || o.Probes[c.ID].Readiness == Success
}

// resources reports what the container was given: that is what its spec says, for it can't change while it runs.
func resources(e Entry, st *v1.ContainerStatus) {
	st.AllocatedResources, st.Resources, st.VolumeMounts = nil, nil, nil
	if len(e.Resources.Requests) > 0 {
		st.AllocatedResources = e.Resources.Requests.DeepCopy()
	}
	if e.Role != Ephemeral {
		st.Resources = &v1.ResourceRequirements{
			Requests: e.Resources.Requests.DeepCopy(), Limits: e.Resources.Limits.DeepCopy(),
		}
	}
	for _, m := range e.VolumeMounts {
		vm := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := v1.RecursiveReadOnlyDisabled
			if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly != v1.RecursiveReadOnlyDisabled {
				mode = v1.RecursiveReadOnlyEnabled
			}
			vm.RecursiveReadOnly = &mode
		}
		st.VolumeMounts = append(st.VolumeMounts, vm)
	}
}
