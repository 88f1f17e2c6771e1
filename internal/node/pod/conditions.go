package pod

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions returns the pod's conditions: those of the node computed, all others as they were.
func conditions(p *v1.Pod, o *Observed, statuses []v1.ContainerStatus, phase v1.PodPhase) []v1.PodCondition {
	byName := make(map[string]*v1.ContainerStatus, len(statuses))
	for i := range statuses {
		byName[statuses[i].Name] = &statuses[i]
	}
	containers := containersReady(p, byName, phase)
	own := []v1.PodCondition{
		sandboxReady(p, o),
		initialized(p, o, byName, phase),
		podReady(p, o, containers),
		containers,
	}
	all := make([]v1.PodCondition, 0, len(own)+len(o.Last.Conditions))
	for _, c := range own {
		c.ObservedGeneration = p.Generation
		all = append(all, stamped(o, c))
	}
	scheduled := false
	for _, c := range o.Last.Conditions {
		scheduled = scheduled || c.Type == v1.PodScheduled
		if find(own, c.Type) == nil {
			all = append(all, c)
		}
	}
	if !scheduled {
		all = append(all, stamped(o, v1.PodCondition{
			Type: v1.PodScheduled, Status: v1.ConditionTrue, ObservedGeneration: p.Generation,
		}))
	}
	return all
}

// stamped keeps the time of the last transition when the status did not change.
func stamped(o *Observed, c v1.PodCondition) v1.PodCondition {
	c.LastTransitionTime = metav1.NewTime(o.Now).Rfc3339Copy()
	if old := find(o.Last.Conditions, c.Type); old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	return c
}

func find(list []v1.PodCondition, t v1.PodConditionType) *v1.PodCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func sandboxReady(p *v1.Pod, o *Observed) v1.PodCondition {
	c := v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: v1.ConditionFalse}
	if currentSandbox(p, o) != nil {
		c.Status = v1.ConditionTrue
	}
	return c
}

func initialized(p *v1.Pod, o *Observed, statuses map[string]*v1.ContainerStatus, phase v1.PodPhase) v1.PodCondition {
	c := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if phase == v1.PodSucceeded {
		c.Reason = "PodCompleted"
		return c
	}
	var incomplete []string
	for _, e := range Entries(p) {
		st := statuses[e.Name]
		switch {
		case e.Role == Main && hasBegun(st):
			return c
		case e.Role == Init && !st.Ready, e.Role == Sidecar && !*st.Started:
			incomplete = append(incomplete, e.Name)
		}
	}
	if len(incomplete) == 0 {
		return c
	}
	if old := find(o.Last.Conditions, v1.PodInitialized); old != nil && old.Status == v1.ConditionTrue {
		return c
	}
	c.Status, c.Reason = v1.ConditionFalse, "ContainersNotInitialized"
	c.Message = fmt.Sprintf("containers with incomplete status: %s", incomplete)
	return c
}

func containersReady(p *v1.Pod, statuses map[string]*v1.ContainerStatus, phase v1.PodPhase) v1.PodCondition {
	c := v1.PodCondition{Type: v1.ContainersReady, Status: v1.ConditionFalse}
	switch phase {
	case v1.PodSucceeded:
		c.Reason = "PodCompleted"
		return c
	case v1.PodFailed:
		c.Reason = "PodFailed"
		return c
	default: // it may run yet
	}
	var unready []string
	for _, e := range Entries(p) {
		if (e.Role == Main || e.Role == Sidecar) && !statuses[e.Name].Ready {
			unready = append(unready, e.Name)
		}
	}
	if len(unready) > 0 {
		c.Reason = "ContainersNotReady"
		c.Message = fmt.Sprintf("containers with unready status: %s", unready)
		return c
	}
	c.Status = v1.ConditionTrue
	return c
}

func podReady(p *v1.Pod, o *Observed, containers v1.PodCondition) v1.PodCondition {
	c := containers
	c.Type = v1.PodReady
	if c.Status != v1.ConditionTrue {
		return c
	}
	var unready []string
	for _, gate := range p.Spec.ReadinessGates {
		cond := find(o.Last.Conditions, gate.ConditionType)
		switch {
		case cond == nil:
			unready = append(unready, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.",
				gate.ConditionType))
		case cond.Status != v1.ConditionTrue:
			unready = append(unready, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v",
				gate.ConditionType, cond.Status))
		}
	}
	if len(unready) > 0 {
		c.Status, c.Reason = v1.ConditionFalse, "ReadinessGatesNotReady"
		c.Message = strings.Join(unready, ", ")
	}
	return c
}
