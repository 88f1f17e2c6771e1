package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// planEnd takes a pod down in stages: containers, then sidecars in reverse order, sandbox, volumes; then, when the API asked
// for it, the object itself and every trace.
func planEnd(p *v1.Pod, o *Observed, why *cause, plan *Plan) {
	plan.Ending = true
	if planStops(p, o, why, plan) || len(o.Starting) > 0 {
		return
	}
	stopping := false
	for _, s := range o.Sandboxes {
		if !s.Stopped {
			plan.do(Op{Do: StopSandbox, ID: s.ID})
			stopping = true
		}
	}
	if stopping {
		return
	}
	if !o.Released {
		plan.do(Op{Do: Release})
		return
	}
	switch {
	case o.Gone:
		planForget(o, plan)
	case why.deleted && o.Reported:
		plan.do(Op{Do: DeletePod})
	case !why.deleted:
		prune(o, nil, plan)
	}
}

// planStops stops what runs, sidecars only when all else has ended, and says whether there is anything left to stop.
func planStops(p *v1.Pod, o *Observed, why *cause, plan *Plan) bool {
	begun := o.EndedAt
	if begun.IsZero() {
		begun = o.Now
	}
	deadline := begun.Add(time.Duration(Grace(p)) * time.Second)
	sidecars := map[string]*Container{}
	others := false
	for _, c := range o.active() {
		if e, ok := Find(p, c.Name); ok && e.Role == Sidecar {
			sidecars[c.Name] = c
			continue
		}
		plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Deadline: deadline, Message: why.message})
		others = true
	}
	if others {
		return true
	}
	entries := Entries(p)
	for i := len(entries) - 1; i >= 0; i-- {
		if c := sidecars[entries[i].Name]; c != nil {
			plan.do(Op{Do: StopContainer, Container: c.Name, ID: c.ID, Deadline: deadline, Message: why.message})
			return true
		}
	}
	return false
}

// planForget removes the pod's containers, then its sandboxes, then its folders.
func planForget(o *Observed, plan *Plan) {
	for _, c := range o.Containers {
		plan.do(Op{Do: RemoveContainer, Container: c.Name, ID: c.ID})
	}
	if len(o.Containers) > 0 {
		return
	}
	for _, s := range o.Sandboxes {
		plan.do(Op{Do: RemoveSandbox, ID: s.ID})
	}
	if len(o.Sandboxes) == 0 {
		plan.do(Op{Do: Forget})
	}
}
