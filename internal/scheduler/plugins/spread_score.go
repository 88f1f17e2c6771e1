package plugins

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/scheduler/core"
)

// spreadScore is what Score works on.
type spreadScore struct {
	soft    []constraint
	partial bool
	// counts are the matching pods by domain, but for host names: those are counted on the node that is scored.
	counts tallies
	// weights lift the constraints over many domains, whose counts are small, to those over few.
	weights []float64
}

type tallies []map[string]int64

// unscored marks nodes that lack a label which the constraints ask for.
const unscored = -1

// PrepareScore implements core.ScorePreparer.
func (PodTopologySpread) PrepareScore(state any, pod *core.Pod, feasible []*core.Node) any {
	s, _ := state.(spreading)
	out := spreadScore{soft: s.soft, partial: s.partial}
	if len(s.soft) == 0 {
		return out
	}
	scored := 0
	out.counts = make(tallies, len(s.soft))
	for i := range s.soft {
		out.counts[i] = map[string]int64{}
	}
	for _, node := range feasible {
		if !s.partial && !hasKeys(node, s.soft) {
			continue
		}
		scored++
		for i := range s.soft {
			out.counts[i][node.Object.Labels[s.soft[i].key]] = 0
		}
	}
	for i := range s.soft {
		domains := len(out.counts[i])
		if s.soft[i].key == corev1.LabelHostname {
			domains = scored
		}
		out.weights = append(out.weights, math.Log(float64(domains+2)))
		if s.soft[i].key != corev1.LabelHostname {
			out.countAll(i, pod, s.view.Nodes)
		}
	}
	return out
}

// countAll counts a constraint's pods on all nodes, feasible or not, in the domains that have a feasible one.
func (s *spreadScore) countAll(i int, pod *core.Pod, nodes []*core.Node) {
	c := &s.soft[i]
	for _, node := range nodes {
		value, labelled := node.Object.Labels[c.key]
		if !labelled || !s.partial && !hasKeys(node, s.soft) {
			continue
		}
		if _, ok := s.counts[i][value]; ok && c.includes(pod, node) {
			s.counts[i][value] += c.count(pod, node)
		}
	}
}

// Score implements core.Scorer: the weighted sum of the matching pods in the node's domains; the fewer, the better.
func (PodTopologySpread) Score(state any, pod *core.Pod, node *core.Node) int64 {
	s, _ := state.(spreadScore)
	if !s.partial && !hasKeys(node, s.soft) {
		return unscored
	}
	var sum float64
	for i := range s.soft {
		c := &s.soft[i]
		value, ok := node.Object.Labels[c.key]
		if !ok {
			continue
		}
		n := s.counts[i][value]
		if c.key == corev1.LabelHostname {
			n = c.count(pod, node)
		}
		// A large maxSkew waters down the differences between domains.
		sum += float64(n)*s.weights[i] + float64(c.maxSkew-1)
	}
	return int64(math.Round(sum))
}

// Normalize implements core.Normalizer: the node with the lowest sum is the best, an unscored one the worst.
func (PodTopologySpread) Normalize(scores []int64) {
	var highest int64
	lowest := int64(math.MaxInt64)
	for _, n := range scores {
		if n != unscored {
			lowest, highest = min(lowest, n), max(highest, n)
		}
	}
	for i, n := range scores {
		switch {
		case n == unscored:
			scores[i] = 0
		case highest == 0:
			scores[i] = core.MaxScore
		default:
			scores[i] = core.MaxScore * (highest + lowest - n) / highest
		}
	}
}
