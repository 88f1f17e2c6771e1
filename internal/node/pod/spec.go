package pod

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Role of a container in its pod.
type Role int

// The roles of containers.
const (
	Init Role = iota
	Sidecar
	Main
	Ephemeral
)

// Entry is a container of a pod's spec with its role.
type Entry struct {
	*v1.Container
	Role Role
	// Target is the container whose processes an ephemeral container sees.
	Target string
}

// Entries returns all containers of the pod in the order in which they start.
func Entries(p *v1.Pod) []Entry {
	entries := make([]Entry, 0, len(p.Spec.InitContainers)+len(p.Spec.Containers)+len(p.Spec.EphemeralContainers))
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		role := Init
		if isSidecar(c) {
			role = Sidecar
		}
		entries = append(entries, Entry{Container: c, Role: role})
	}
	for i := range p.Spec.Containers {
		entries = append(entries, Entry{Container: &p.Spec.Containers[i], Role: Main})
	}
	for i := range p.Spec.EphemeralContainers {
		e := &p.Spec.EphemeralContainers[i]
		c := v1.Container(e.EphemeralContainerCommon)
		entries = append(entries, Entry{Container: &c, Role: Ephemeral, Target: e.TargetContainerName})
	}
	return entries
}

// Find returns the pod's container of that name.
func Find(p *v1.Pod, name string) (Entry, bool) {
	for _, e := range Entries(p) {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

func isSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// SpecHash is over the fields whose change restarts a container in place.
func SpecHash(c *v1.Container) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %s %s", len(c.Name), c.Name, c.Image)
	return fmt.Sprintf("%x", h.Sum32())
}

// restarts says whether the container starts again after that exit code.
func (e Entry) restartsAfter(p *v1.Pod, exitCode int32) bool {
	if e.Role == Sidecar {
		return true
	}
	if e.Role == Ephemeral {
		return false
	}
	if rule := matchingRule(e.Container, exitCode); rule != nil {
		return true
	}
	if e.RestartPolicy != nil {
		switch *e.RestartPolicy {
		case v1.ContainerRestartPolicyNever:
			return false
		case v1.ContainerRestartPolicyOnFailure:
			return exitCode != 0
		case v1.ContainerRestartPolicyAlways:
			return true
		}
	}
	switch p.Spec.RestartPolicy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return exitCode != 0
	default:
		return e.Role == Main || exitCode != 0
	}
}

// matchingRule returns the restart rule that applies to the exit code; the first one wins.
func matchingRule(c *v1.Container, exitCode int32) *v1.ContainerRestartRule {
	for i := range c.RestartPolicyRules {
		r := &c.RestartPolicyRules[i]
		if r.ExitCodes == nil {
			continue
		}
		in := slices.Contains(r.ExitCodes.Values, exitCode)
		if in == (r.ExitCodes.Operator == v1.ContainerRestartRuleOnExitCodesOpIn) {
			return r
		}
	}
	return nil
}

// asksAll says whether a container that ended so asks for a restart of the whole pod in place.
func (e Entry) asksAll(c *Container) bool {
	if c.State != Exited || e.Role == Ephemeral {
		return false
	}
	rule := matchingRule(e.Container, c.ExitCode)
	return rule != nil && rule.Action == v1.ContainerRestartRuleActionRestartAllContainers
}

// restartedAll returns when a container last asked for a restart of the whole pod; zero for never. What was made before that,
// the sandbox apart, belongs to the past.
func restartedAll(p *v1.Pod, o *Observed) time.Time {
	var last time.Time
	for i := range o.Containers {
		c := &o.Containers[i]
		if e, ok := Find(p, c.Name); ok && e.asksAll(c) && c.Finished.After(last) {
			last = c.Finished
		}
	}
	return last
}

// DefaultGrace is the grace of a pod that names none, in seconds.
const DefaultGrace int64 = 30

// Grace returns how many seconds the pod's containers get to stop: what the deletion asked, else what the spec says; at
// least one.
func Grace(p *v1.Pod) int64 {
	grace := DefaultGrace
	if p.Spec.TerminationGracePeriodSeconds != nil {
		grace = *p.Spec.TerminationGracePeriodSeconds
	}
	if p.DeletionGracePeriodSeconds != nil {
		grace = *p.DeletionGracePeriodSeconds
	}
	return max(grace, 1)
}

// probeGrace returns the grace of a container that is stopped for a failed probe.
func probeGrace(p *v1.Pod, probe *v1.Probe) int64 {
	if probe != nil && probe.TerminationGracePeriodSeconds != nil {
		return max(*probe.TerminationGracePeriodSeconds, 1)
	}
	return Grace(p)
}

// Describe names a pod in messages as the kubelet does: name_namespace(uid).
func Describe(p *v1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", p.Name, p.Namespace, p.UID)
}

// IsTerminal says that a phase is final.
func IsTerminal(phase v1.PodPhase) bool { return phase == v1.PodSucceeded || phase == v1.PodFailed }
