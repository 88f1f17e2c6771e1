package core

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Preemption is what making room for a pod by evicting others comes to.
type Preemption struct {
	// Node is where there will be room, empty when there will be none. Victims are the pods that must go, the most important
	// first; some may be going already.
	Node    string
	Victims []*Pod
	// Overdraws counts the victims whose eviction goes beyond a disruption budget.
	Overdraws int
	// Useless says that no eviction would help: a node promised to the pod earlier is no longer of use to it.
	Useless bool
	// Note explains it in upstream's words.
	Note string
}

// As upstream's defaults: enough candidates are this share of the nodes, but not fewer than this many.
const (
	candidatesPercent = 10
	candidatesLeast   = 100
)

// Preempt finds the node where the fewest and least important pods of lower priority must go for the pod to fit. It follows
// upstream's default preemption: never more than one node's pods, budgets overdrawn only if there is no other way, and none of
// it while pods evicted for this one are still going. D is the decision that found no node; opts are the same.
func (p *Profile) Preempt(pod *Pod, view View, d *Decision, budgets []*Budget, opts Options) Preemption {
	if len(view.Nodes) == 0 {
		return Preemption{Useless: true}
	}
	if note := notEligible(pod, view, d, opts.Promised); note != "" {
		return Preemption{Note: "preemption: " + note}
	}
	count := map[string]int{}
	enough := max(len(view.Nodes)*candidatesPercent/100, candidatesLeast)
	var candidates []Preemption
	respectful := false // a candidate keeps to all budgets
	for i := range view.Nodes {
		node := view.Nodes[(opts.Start+i)%len(view.Nodes)]
		if r := d.Diagnosis.ByNode[node.Name]; d.Diagnosis.Whole != nil || r == nil || r.Final {
			count["Preemption is not helpful for scheduling"]++
			continue
		}
		if respectful && len(candidates) >= enough {
			break
		}
		c, reasons := p.clear(pod, node, d.states, budgets)
		for _, reason := range reasons {
			count[reason]++
		}
		if reasons == nil {
			candidates = append(candidates, c)
			respectful = respectful || c.Overdraws == 0
		}
	}
	if len(candidates) == 0 {
		return Preemption{Useless: true, Note: "preemption: " + histogram(len(view.Nodes), count)}
	}
	best := slices.MinFunc(candidates, cheaper)
	best.Note = fmt.Sprintf("preemption: found a potential placement for pod on node %s, preempting %d victims",
		best.Node, len(best.Victims))
	return best
}

// notEligible says why the pod may not have others evicted now, empty when it may.
func notEligible(pod *Pod, view View, d *Decision, promised string) string {
	if policy := pod.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	if promised == "" || d.Diagnosis.Whole != nil {
		return ""
	}
	if r := d.Diagnosis.ByNode[promised]; r != nil && r.Final {
		return ""
	}
	for _, node := range view.Nodes {
		if node.Name != promised {
			continue
		}
		for _, other := range node.Pods {
			if other.Priority() < pod.Priority() && preempted(other) {
				return "not eligible due to a terminating pod on the nominated node."
			}
		}
	}
	return ""
}

// preempted tells whether the pod is going because it was evicted for another.
func preempted(p *Pod) bool {
	if p.DeletionTimestamp == nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget {
			return c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
		}
	}
	return false
}

// clear finds the fewest pods of a node that must go for the pod to fit there, or the reasons why even all together would not
// do: it takes off all of lower priority, then puts them back one by one, the most important first, while the pod still fits.
func (p *Profile) clear(pod *Pod, node *Node, states []any, budgets []*Budget) (Preemption, []string) {
	var lower []*Pod
	for _, other := range node.Pods {
		if other.Priority() < pod.Priority() {
			lower = append(lower, other)
		}
	}
	if len(lower) == 0 {
		return Preemption{}, []string{"No preemption victims found for incoming pod"}
	}
	now := node
	for _, v := range lower {
		now, states = now.Without(v), p.adjust(states, pod, node, v, -1)
	}
	if r, _ := p.admits(pod, now, states); r != nil {
		return Preemption{}, r.Reasons
	}
	slices.SortStableFunc(lower, moreImportant)
	out := Preemption{Node: node.Name}
	putBack := func(v *Pod) bool {
		next, then := now.With(v), p.adjust(states, pod, node, v, 1)
		if r, _ := p.admits(pod, next, then); r != nil {
			out.Victims = append(out.Victims, v)
			return false
		}
		now, states = next, then
		return true
	}
	overdraw, within := sortByBudget(lower, budgets)
	for _, v := range overdraw {
		if !putBack(v) {
			out.Overdraws++
		}
	}
	for _, v := range within {
		putBack(v)
	}
	if len(out.Victims) == 0 {
		// Each of them alone leaves room: then the node would have done as it was, and was judged by an older state.
		return Preemption{}, []string{"No preemption victims found for incoming pod"}
	}
	slices.SortStableFunc(out.Victims, moreImportant)
	return out, nil
}

// moreImportant orders pods: higher priority, then longer running.
func moreImportant(a, b *Pod) int {
	if c := cmp.Compare(b.Priority(), a.Priority()); c != 0 {
		return c
	}
	return started(a).Compare(started(b))
}

// started returns when the pod started; one that has not yet, later than all others.
func started(p *Pod) time.Time {
	if p.Status.StartTime == nil {
		return time.Unix(math.MaxInt32, 0)
	}
	return p.Status.StartTime.Time
}

// cheaper orders preemptions as upstream does: fewer budgets overdrawn, a less important first victim, a smaller sum of
// priorities, fewer victims, and the most important of them started later.
func cheaper(a, b Preemption) int {
	if c := cmp.Compare(a.Overdraws, b.Overdraws); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Victims[0].Priority(), b.Victims[0].Priority()); c != 0 {
		return c
	}
	if c := cmp.Compare(a.weight(), b.weight()); c != 0 {
		return c
	}
	if c := cmp.Compare(len(a.Victims), len(b.Victims)); c != 0 {
		return c
	}
	return started(b.Victims[0]).Compare(started(a.Victims[0]))
}

// weight sums the victims' priorities, made positive so that many of negative priority don't weigh less than one.
func (p *Preemption) weight() int64 {
	var sum int64
	for _, v := range p.Victims {
		sum += int64(v.Priority()) + math.MaxInt32 + 1
	}
	return sum
}
