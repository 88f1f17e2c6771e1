package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// State of a container in the runtime.
type State int

// The states of a container.
const (
	Unknown State = iota
	Created
	Running
	Exited
)

// Result of a probe.
type Result int

// The results of a probe. Untested means that it did not run yet.
const (
	Untested Result = iota
	Success
	Failure
)

// Sandbox is one sandbox of the pod as the runtime has it.
type Sandbox struct {
	ID      string
	Attempt uint32
	Ready   bool
	// Stopped says that the agent asked the runtime to stop it and the runtime agreed: its network is released.
	Stopped bool
	Created time.Time
	IPs     []string
}

// Container is one container of the pod as the runtime has it.
type Container struct {
	ID        string
	Name      string
	SandboxID string
	State     State
	// Restarts counts the containers of this name that the pod had before this one.
	Restarts int32
	// Hash is what SpecHash gave when the container was made.
	Hash                       string
	Created, Started, Finished time.Time
	ExitCode                   int32
	Reason, Message            string
	Image, ImageID             string
	User                       *v1.ContainerUser
}

// Probes are the newest results for one container.
type Probes struct {
	Startup, Liveness, Readiness Result
}

// Trouble says why the last try to start a container made none.
type Trouble struct {
	// Reason and Message are those of a waiting container, such as ErrImagePull.
	Reason, Message string
	At              time.Time
	// Retry is when to try again.
	Retry time.Time
}

// Wait is a failed operation of the pod as a whole (volumes, sandbox) that may be tried again at Retry.
type Wait struct {
	Message string
	Retry   time.Time
}

// End is a decision that the pod must not run, taken outside the state machine (node admission, eviction).
type End struct {
	Reason, Message string
}

// Observed is all that the agent knows of one pod beside the API object. Slices are ordered newest first.
type Observed struct {
	Now time.Time

	Sandboxes  []Sandbox
	Containers []Container
	// Runtime is the prefix of container IDs, such as "containerd".
	Runtime string

	// Mounted says that every volume is in place, MountWait why not.
	Mounted   bool
	MountWait Wait
	// SandboxWait is set after a sandbox could not be made.
	SandboxWait Wait
	// NetworkReady says that the runtime can give pods a network.
	NetworkReady bool
	// Released says that volumes and cgroups of the ended pod are gone.
	Released bool

	// Probes are by container ID.
	Probes map[string]Probes
	// Starting holds, by container name, the restart count of each start that is under way.
	Starting map[string]int32
	// Trouble and Backoff are by container name.
	Trouble map[string]Trouble
	Backoff map[string]Backoff

	// End is set when something outside decided that the pod must not run.
	End *End
	// Gone says that the API has no such pod any more.
	Gone bool
	// EndedAt is when the agent first saw that the pod must end; zero before.
	EndedAt time.Time
	// Reported says that the API has the newest status.
	Reported bool

	HostIPs []string
	// Last is the status computed before this one (at first the API's).
	Last v1.PodStatus
}

// newest returns the newest container of that name.
func (o *Observed) newest(name string) *Container {
	for i := range o.Containers {
		if o.Containers[i].Name == name {
			return &o.Containers[i]
		}
	}
	return nil
}

// newestIn returns the newest container of that name in that sandbox.
func (o *Observed) newestIn(name, sandbox string) *Container {
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == name && c.SandboxID == sandbox {
			return c
		}
	}
	return nil
}

// active returns the containers that may still have processes.
func (o *Observed) active() []*Container {
	var active []*Container
	for i := range o.Containers {
		if c := &o.Containers[i]; c.State == Running || c.State == Unknown {
			active = append(active, c)
		}
	}
	return active
}

// restarts returns the restart count that the next container of that name gets.
func (o *Observed) restarts(name string) int32 {
	next := int32(0)
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == name && c.Restarts >= next {
			next = c.Restarts + 1
		}
	}
	if st := statusOf(&o.Last, name); st != nil && st.ContainerID != "" && st.RestartCount >= next {
		next = st.RestartCount + 1
	}
	return next
}

func statusOf(s *v1.PodStatus, name string) *v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// backingOffAt is when a failed image pull is no longer news and becomes a back-off.
func (t Trouble) backingOffAt() time.Time {
	return t.At.Add(min(t.Retry.Sub(t.At)/2, FirstBackoff))
}
