package pod

import (
	"fmt"
	"time"
)

// Verb of an operation.
type Verb int

// The verbs of operations, in about the order of a pod's life.
const (
	// MountVolumes puts every volume in place.
	MountVolumes Verb = iota + 1
	// CreateSandbox makes and starts the sandbox with number Attempt.
	CreateSandbox
	// StartContainer pulls the image, makes and starts the container, and runs its postStart hook.
	StartContainer
	// StopContainer runs the preStop hook and stops container ID.
	StopContainer
	// RemoveContainer removes the stopped container ID and its log.
	RemoveContainer
	// StopSandbox stops sandbox ID and releases its network.
	StopSandbox
	// RemoveSandbox removes the stopped sandbox ID.
	RemoveSandbox
	// Release unmounts volumes and removes the pod's cgroups.
	Release
	// DeletePod deletes the API object for good.
	DeletePod
	// Forget removes the pod's folders; nothing of the pod remains.
	Forget
)

func (v Verb) String() string {
	return [...]string{
		MountVolumes: "MountVolumes", CreateSandbox: "CreateSandbox", StartContainer: "StartContainer",
		StopContainer: "StopContainer", RemoveContainer: "RemoveContainer", StopSandbox: "StopSandbox",
		RemoveSandbox: "RemoveSandbox", Release: "Release", DeletePod: "DeletePod", Forget: "Forget",
	}[v]
}

// Op is one operation. Comparable: an operation under way whose value changed is to be cancelled and begun again.
type Op struct {
	Do Verb
	// Container is the container's name.
	Container string
	// ID is of a container or a sandbox.
	ID string
	// Attempt is the sandbox's number or the container's restart count.
	Attempt uint32
	// Grace is what a container gets to stop, in seconds, when Deadline is zero.
	Grace int64
	// Deadline is when a container must have stopped, its preStop hook included.
	Deadline time.Time
	// Message tells a person why a container is stopped.
	Message string
}

// Cancelable says that an operation may be given up half way when it is no longer wanted. The others are short and finish.
func (o Op) Cancelable() bool {
	switch o.Do {
	case MountVolumes, CreateSandbox, StartContainer, StopContainer:
		return true
	default:
		return false
	}
}

// Key names what an operation works on: there is at most one operation per key.
func (o Op) Key() string { return o.Do.String() + " " + o.Container + " " + o.ID }

func (o Op) String() string {
	s := o.Do.String()
	if o.Container != "" {
		s += " " + o.Container
	}
	if o.ID != "" {
		s += " " + o.ID
	}
	switch o.Do {
	case CreateSandbox, StartContainer:
		s += fmt.Sprintf(" attempt=%d", o.Attempt)
	case StopContainer:
		if o.Deadline.IsZero() {
			s += fmt.Sprintf(" grace=%ds", o.Grace)
		} else {
			s += " deadline=" + o.Deadline.UTC().Format(time.TimeOnly)
		}
		if o.Message != "" {
			s += fmt.Sprintf(" %q", o.Message)
		}
	default: // the ID says it all
	}
	return s
}

// Plan is what Next decided.
type Plan struct {
	// Ops should be under way now.
	Ops []Op
	// Again is when to ask again even if nothing happens; zero for never.
	Again time.Time
	// Ending says that the pod must end: remember when this was first so (Observed.EndedAt).
	Ending bool
	// BackOff lists the containers that wait for their back-off to pass.
	BackOff []string
}

func (p *Plan) do(op Op) { p.Ops = append(p.Ops, op) }

func (p *Plan) again(at time.Time) {
	if p.Again.IsZero() || at.Before(p.Again) {
		p.Again = at
	}
}
