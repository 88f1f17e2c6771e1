package core

import (
	"fmt"
	"sort"
	"strings"
)

// MaxScore is the best score a plugin may give a node; the worst is 0.
const MaxScore int64 = 100

// Plugin is a rule. What it can do shows in the further interfaces that it implements: Preparer, Filter, Scorer, Normalizer.
// Plugins hold no state between pods.
type Plugin interface {
	Name() string
}

// Preparer works out what a plugin needs once per pod; the result is handed to its other methods. A Rejection means that no
// node will do.
type Preparer interface {
	Prepare(pod *Pod, nodes []*Node) (state any, rejection *Rejection)
}

// Filter says whether a node can run the pod at all; nil means yes.
type Filter interface {
	Filter(state any, pod *Pod, node *Node) *Rejection
}

// Scorer says how good a node is for the pod; any scale, when a Normalizer brings it to 0..MaxScore.
type Scorer interface {
	Score(state any, pod *Pod, node *Node) int64
}

// Normalizer brings the scores of all nodes to 0..MaxScore in place.
type Normalizer interface {
	Normalize(scores []int64)
}

// Rejection says why a node can't run a pod.
type Rejection struct {
	// Reasons as upstream words them, for the pod's condition.
	Reasons []string
	// Final: no eviction of other pods would change it.
	Final bool
}

// Weighted is a plugin and what its score weighs.
type Weighted struct {
	Plugin Plugin
	Weight int64
}

// Profile is a list of plugins. Immutable, safe for concurrent use.
type Profile struct {
	plugins []Weighted
}

// NewProfile makes a profile of the plugins in their order.
func NewProfile(plugins ...Weighted) *Profile {
	return &Profile{plugins: plugins}
}

// Decision is the outcome for one pod: a node, or a diagnosis.
type Decision struct {
	Node string
	// Feasible counts the nodes that would do, Evaluated those looked at.
	Feasible  int
	Evaluated int
	Diagnosis Diagnosis
}

// Diagnosis explains why no node will do.
type Diagnosis struct {
	Nodes int
	// ByNode holds each rejected node's rejection.
	ByNode map[string]*Rejection
	// Plugins names the plugins that rejected something: events that concern none of them can't help the pod.
	Plugins map[string]bool
	// Whole is set when a plugin rejected the pod for all nodes at once.
	Whole *Rejection
}

// Options of one decision.
type Options struct {
	// Start is where in the list of nodes the search begins, so that in a large cluster the same nodes aren't always first.
	Start int
	// Pick chooses between n equals (0 ≤ result < n).
	Pick func(n int) int
}

// Schedule finds the best node. Nodes are those of Cluster.Nodes.
func (p *Profile) Schedule(pod *Pod, nodes []*Node, opts Options) Decision {
	d := Decision{Diagnosis: Diagnosis{Nodes: len(nodes), ByNode: map[string]*Rejection{}, Plugins: map[string]bool{}}}
	states := make([]any, len(p.plugins))
	for i, w := range p.plugins {
		prep, ok := w.Plugin.(Preparer)
		if !ok {
			continue
		}
		state, rejection := prep.Prepare(pod, nodes)
		if rejection != nil {
			d.Diagnosis.Whole = rejection
			d.Diagnosis.Plugins[w.Plugin.Name()] = true
			return d
		}
		states[i] = state
	}
	feasible := p.filter(pod, nodes, states, opts.Start, &d)
	d.Feasible = len(feasible)
	switch len(feasible) {
	case 0:
	case 1:
		d.Node = feasible[0].Name
	default:
		d.Node = p.best(pod, feasible, states, opts.Pick)
	}
	return d
}

// filter returns the nodes that will do, as many as are worth scoring.
func (p *Profile) filter(pod *Pod, nodes []*Node, states []any, start int, d *Decision) []*Node {
	want := nodesToFind(len(nodes))
	feasible := make([]*Node, 0, want)
	for i := range nodes {
		node := nodes[(start+i)%len(nodes)]
		d.Evaluated++
		if rejection, by := p.filterOne(pod, node, states); rejection != nil {
			d.Diagnosis.ByNode[node.Name] = rejection
			d.Diagnosis.Plugins[by] = true
			continue
		}
		if feasible = append(feasible, node); len(feasible) == want {
			break
		}
	}
	return feasible
}

func (p *Profile) filterOne(pod *Pod, node *Node, states []any) (*Rejection, string) {
	for i, w := range p.plugins {
		if f, ok := w.Plugin.(Filter); ok {
			if r := f.Filter(states[i], pod, node); r != nil {
				return r, w.Plugin.Name()
			}
		}
	}
	return nil, ""
}

// Fits tells whether the node would do for the pod as things are, and why not.
func (p *Profile) Fits(pod *Pod, node *Node) *Rejection {
	states := make([]any, len(p.plugins))
	for i, w := range p.plugins {
		if prep, ok := w.Plugin.(Preparer); ok {
			state, rejection := prep.Prepare(pod, []*Node{node})
			if rejection != nil {
				return rejection
			}
			states[i] = state
		}
	}
	r, _ := p.filterOne(pod, node, states)
	return r
}

func (p *Profile) best(pod *Pod, nodes []*Node, states []any, pick func(int) int) string {
	total := make([]int64, len(nodes))
	scores := make([]int64, len(nodes))
	for i, w := range p.plugins {
		s, ok := w.Plugin.(Scorer)
		if !ok || w.Weight == 0 {
			continue
		}
		for j, node := range nodes {
			scores[j] = s.Score(states[i], pod, node)
		}
		if n, ok := w.Plugin.(Normalizer); ok {
			n.Normalize(scores)
		}
		for j := range nodes {
			total[j] += w.Weight * scores[j]
		}
	}
	var equals []int
	for j, t := range total {
		switch {
		case len(equals) == 0 || t > total[equals[0]]:
			equals = append(equals[:0], j)
		case t == total[equals[0]]:
			equals = append(equals, j)
		}
	}
	return nodes[equals[pick(len(equals))]].Name
}

// nodesToFind bounds how many nodes are scored, as upstream does: all up to 100, then a share that falls from 50 % to 5 %.
func nodesToFind(n int) int {
	const least, floorPercent = 100, 5
	if n <= least {
		return n
	}
	percent := max(50-n/125, floorPercent)
	return max(n*percent/100, least)
}

// Message explains the diagnosis in upstream's words: "0/3 nodes are available: 1 Insufficient cpu, ...".
func (d *Diagnosis) Message() string {
	head := fmt.Sprintf("0/%d nodes are available", d.Nodes)
	if d.Whole != nil {
		return head + ": " + strings.Join(d.Whole.Reasons, ", ") + "."
	}
	count := map[string]int{}
	for _, r := range d.ByNode {
		for _, reason := range r.Reasons {
			count[reason]++
		}
	}
	parts := make([]string, 0, len(count))
	for reason, n := range count {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	if len(parts) == 0 {
		return "no nodes available to schedule pods"
	}
	sort.Strings(parts)
	return head + ": " + strings.Join(parts, ", ") + "."
}
