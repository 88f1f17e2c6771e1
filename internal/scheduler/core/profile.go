package core

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

	// states are what the plugins had prepared, for a preemption that follows.
	states []any
}

// Options of one decision.
type Options struct {
	// Start is where in the list of nodes the search begins, so that in a large cluster the same nodes aren't always first.
	Start int
	// Promised is the node that the pod was promised, taken before all others if it will do; empty for none.
	Promised string
	// Pick chooses between n equals (0 ≤ result < n).
	Pick func(n int) int
}

// Schedule finds the best node.
func (p *Profile) Schedule(pod *Pod, view View, opts Options) Decision {
	d := Decision{Diagnosis: newDiagnosis(len(view.Nodes))}
	if len(view.Nodes) == 0 {
		return d
	}
	d.states = make([]any, len(p.plugins))
	for i, w := range p.plugins {
		prep, ok := w.Plugin.(Preparer)
		if !ok {
			continue
		}
		state, rejection := prep.Prepare(pod, view)
		if rejection != nil {
			d.Diagnosis.Whole = rejection
			d.Diagnosis.Plugins[w.Plugin.Name()] = true
			return d
		}
		d.states[i] = state
	}
	if opts.Promised != "" && p.keepsPromise(pod, view, opts.Promised, &d) {
		return d
	}
	feasible := p.filter(pod, view.Nodes, opts.Start, &d)
	d.Feasible = len(feasible)
	switch len(feasible) {
	case 0:
	case 1:
		d.Node = feasible[0].Name
	default:
		d.Node = p.best(pod, feasible, d.states, opts.Pick)
	}
	return d
}

// keepsPromise decides for the promised node if it will do: other pods were evicted from it for this one.
func (p *Profile) keepsPromise(pod *Pod, view View, promised string, d *Decision) bool {
	for _, node := range view.Nodes {
		if node.Name != promised {
			continue
		}
		if r, _ := p.admits(pod, node, d.states); r == nil {
			d.Node, d.Feasible, d.Evaluated = node.Name, 1, 1
			return true
		}
	}
	return false
}

// filter returns the nodes that will do, as many as are worth scoring.
func (p *Profile) filter(pod *Pod, nodes []*Node, start int, d *Decision) []*Node {
	want := nodesToFind(len(nodes))
	feasible := make([]*Node, 0, want)
	for i := range nodes {
		node := nodes[(start+i)%len(nodes)]
		d.Evaluated++
		if rejection, by := p.admits(pod, node, d.states); rejection != nil {
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

// admits says whether a node will do. It must do with the pods that were promised room on it (unless this one goes before
// them), and without them, for they may end up elsewhere.
func (p *Profile) admits(pod *Pod, node *Node, states []any) (*Rejection, string) {
	with, then := node, states
	for _, other := range node.Nominated {
		if other.UID != pod.UID && other.Priority() >= pod.Priority() {
			with, then = with.With(other), p.adjust(then, pod, node, other, 1)
		}
	}
	if with != node {
		if r, by := p.filterOne(pod, with, then); r != nil {
			return r, by
		}
	}
	return p.filterOne(pod, node, states)
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

// adjust returns the states with another pod on a node, or off it.
func (p *Profile) adjust(states []any, pod *Pod, node *Node, other *Pod, sign int64) []any {
	out := make([]any, len(states))
	copy(out, states)
	for i, w := range p.plugins {
		if a, ok := w.Plugin.(Adjuster); ok {
			out[i] = a.Adjust(states[i], pod, node, other, sign)
		}
	}
	return out
}

// Helps tells whether a change could turn the rejection of a pod by the named plugins. The node that came or changed is asked
// itself as well, unless a rule that looks beyond it had rejected the pod: then the change may have opened another node.
func (p *Profile) Helps(pod *Pod, rejectedBy map[string]bool, c *Change) bool {
	helps := len(rejectedBy) == 0
	for _, w := range p.plugins {
		if !rejectedBy[w.Plugin.Name()] {
			continue
		}
		if waker, ok := w.Plugin.(Waker); ok && !waker.Helps(pod, c) {
			continue
		}
		if _, beyond := w.Plugin.(Adjuster); beyond && !c.NodeCame() {
			return true
		}
		helps = true
	}
	return helps && (c.At == nil || p.fitsAlone(pod, c))
}

func (p *Profile) fitsAlone(pod *Pod, c *Change) bool {
	view := View{Nodes: []*Node{c.At}, Namespaces: c.Namespaces}
	for _, w := range p.plugins {
		f, filters := w.Plugin.(Filter)
		if _, beyond := w.Plugin.(Adjuster); !filters || beyond {
			continue
		}
		var state any
		if prep, ok := w.Plugin.(Preparer); ok {
			var rejection *Rejection
			if state, rejection = prep.Prepare(pod, view); rejection != nil {
				return false
			}
		}
		if f.Filter(state, pod, c.At) != nil {
			return false
		}
	}
	return true
}

func (p *Profile) best(pod *Pod, nodes []*Node, states []any, pick func(int) int) string {
	total := make([]int64, len(nodes))
	scores := make([]int64, len(nodes))
	for i, w := range p.plugins {
		s, ok := w.Plugin.(Scorer)
		if !ok || w.Weight == 0 {
			continue
		}
		state := states[i]
		if prep, ok := w.Plugin.(ScorePreparer); ok {
			state = prep.PrepareScore(state, pod, nodes)
		}
		for j, node := range nodes {
			scores[j] = s.Score(state, pod, node)
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
