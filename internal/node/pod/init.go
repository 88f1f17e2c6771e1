package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// planInit brings the pod's init containers forward, sidecars among them, and says whether the main containers may run.
func planInit(p *v1.Pod, o *Observed, current *Sandbox, all time.Time, plan *Plan) bool {
	initialized := mainsBegan(p, o, current, all)
	for _, e := range Entries(p) {
		if e.Role != Init && e.Role != Sidecar {
			continue
		}
		// In a new sandbox the sequence begins anew.
		c := since(o.newestIn(e.Name, current.ID), all)
		if c == nil && e.Role == Init && (initialized || endedWell(o, e.Name, current)) {
			continue
		}
		if e.Role == Init && c != nil && c.State == Exited && c.ExitCode == 0 && !starting(o, e) {
			continue
		}
		if e.Role == Sidecar && running(o, e, c) {
			if initialized || startupDone(o, e, c) {
				continue
			}
			return false
		}
		if c == nil {
			start(o, e, plan)
		} else {
			planContainer(p, o, e, c, plan)
		}
		if !initialized {
			return false
		}
	}
	return true
}

// running says whether the container runs and its start, postStart hook included, is over.
func running(o *Observed, e Entry, c *Container) bool {
	return c != nil && c.State == Running && !starting(o, e)
}

// startupDone says whether a running container passed its startup probe.
func startupDone(o *Observed, e Entry, c *Container) bool {
	return e.StartupProbe == nil || o.Probes[c.ID].Startup == Success
}

// mainsBegan says whether a main container was begun in this sandbox: the pod is initialized and its init containers,
// though their records may be gone, don't run again.
func mainsBegan(p *v1.Pod, o *Observed, current *Sandbox, all time.Time) bool {
	for _, e := range Entries(p) {
		if e.Role != Main {
			continue
		}
		if starting(o, e) || since(o.newestIn(e.Name, current.ID), all) != nil {
			return true
		}
	}
	return false
}

// endedWell says whether the last status tells of the container's success and the runtime forgot it, in a pod that only
// ever had this sandbox.
func endedWell(o *Observed, name string, current *Sandbox) bool {
	if current.Attempt > 0 || o.newest(name) != nil {
		return false
	}
	st := statusOf(&o.Last, name)
	return st != nil && st.State.Terminated != nil && st.State.Terminated.ExitCode == 0
}
