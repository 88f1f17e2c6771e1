package plugins

import (
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/scheduler/core"
)

// InterPodAffinity puts pods near those that they want to be near (in one domain: a node, a zone), and keeps them from those that
// they, or which, don't want to be near.
type InterPodAffinity struct{}

// requiredWeight is what a required affinity of a placed pod to the one that comes weighs in the score: upstream's
// hardPodAffinityWeight.
const requiredWeight = 1

// Name implements core.Plugin.
func (InterPodAffinity) Name() string { return "InterPodAffinity" }

// nearness is what Prepare hands on.
type nearness struct {
	view core.View
	// wanted counts, in the domain of each of the pod's required terms, the pods that match all of them.
	wanted tally
	// unwanted counts the pods that match a term of the pod's required anti-affinity, in that term's domain; unwelcome those
	// whose own required anti-affinity matches the pod.
	unwanted  tally
	unwelcome tally
	// first: the pod matches its own terms, so it may be the first of its kind.
	first bool
}

// Prepare implements core.Preparer.
func (InterPodAffinity) Prepare(pod *core.Pod, view core.View) (any, *core.Rejection) {
	if err := pod.Terms.Err; err != nil {
		return nil, &core.Rejection{Reasons: []string{"parsing pod: " + err.Error()}, Final: true}
	}
	s := nearness{view: view, first: matchesAll(pod.Terms.Required, pod, view.Namespaces)}
	own := len(pod.Terms.Required)+len(pod.Terms.RequiredAnti) > 0
	for _, node := range view.Nodes {
		others := node.WithAnti
		if own {
			others = node.Pods
		}
		for _, other := range others {
			meet(pod, other, node, view.Namespaces, s.record)
		}
	}
	return s, nil
}

// Kinds of meetings of the pod with one that is placed.
type meeting int

const (
	wanted meeting = iota
	unwanted
	unwelcome
)

func (s *nearness) record(m meeting, d domain) {
	s.of(m).add(d, 1)
}

func (s *nearness) of(m meeting) *tally {
	switch m {
	case wanted:
		return &s.wanted
	case unwanted:
		return &s.unwanted
	default:
		return &s.unwelcome
	}
}

// meet tells what the required terms of the pod and of another on a node have to say about each other, and in which domain.
func meet(pod, other *core.Pod, node *core.Node, namespaces map[string]labels.Set, say func(meeting, domain)) {
	if matchesAll(pod.Terms.Required, other, namespaces) {
		for i := range pod.Terms.Required {
			if d, ok := domainOf(node, pod.Terms.Required[i].TopologyKey); ok {
				say(wanted, d)
			}
		}
	}
	anti := func(m meeting, terms []core.Term, target *core.Pod) {
		for i := range terms {
			if d, ok := domainOf(node, terms[i].TopologyKey); ok && terms[i].Matches(target, namespaces) {
				say(m, d)
			}
		}
	}
	anti(unwanted, pod.Terms.RequiredAnti, other)
	anti(unwelcome, other.Terms.RequiredAnti, pod)
}

// matchesAll tells whether there are terms and the pod matches all of them.
func matchesAll(terms []core.Term, pod *core.Pod, namespaces map[string]labels.Set) bool {
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(t core.Term) bool { return !t.Matches(pod, namespaces) })
}

func matchesAny(terms []core.Term, pod *core.Pod, namespaces map[string]labels.Set) bool {
	return slices.ContainsFunc(terms, func(t core.Term) bool { return t.Matches(pod, namespaces) })
}

// Filter implements core.Filter.
func (InterPodAffinity) Filter(state any, pod *core.Pod, node *core.Node) *core.Rejection {
	s, _ := state.(nearness)
	if !s.nearWanted(pod, node) {
		return &core.Rejection{Reasons: []string{"node(s) didn't match pod affinity rules"}, Final: true}
	}
	for i := range pod.Terms.RequiredAnti {
		if d, ok := domainOf(node, pod.Terms.RequiredAnti[i].TopologyKey); ok && s.unwanted.of(d) > 0 {
			return &core.Rejection{Reasons: []string{"node(s) didn't match pod anti-affinity rules"}}
		}
	}
	if s.unwelcome.sum == 0 {
		return nil
	}
	for key := range node.Object.Labels {
		if d, _ := domainOf(node, key); s.unwelcome.of(d) > 0 {
			return &core.Rejection{Reasons: []string{"node(s) didn't satisfy existing pods anti-affinity rules"}}
		}
	}
	return nil
}

// nearWanted tells whether the node is in a domain of every term that has a pod to be near to. When there is no such pod
// anywhere, a pod that would be one itself may be the first, or none of a group could ever start.
func (s *nearness) nearWanted(pod *core.Pod, node *core.Node) bool {
	near := true
	for i := range pod.Terms.Required {
		d, ok := domainOf(node, pod.Terms.Required[i].TopologyKey)
		if !ok {
			return false
		}
		near = near && s.wanted.of(d) > 0
	}
	return near || s.wanted.sum == 0 && s.first
}

// Adjust implements core.Adjuster.
func (InterPodAffinity) Adjust(state any, pod *core.Pod, node *core.Node, other *core.Pod, sign int64) any {
	s, _ := state.(nearness)
	meet(pod, other, node, s.view.Namespaces, func(m meeting, d domain) {
		t := s.of(m)
		*t = t.plus(d, sign)
	})
	return s
}

// PrepareScore implements core.ScorePreparer: the sum of the weights of the preferences that the pod and the placed pods have
// about each other, by domain; a placed pod's required affinity counts a little too.
func (InterPodAffinity) PrepareScore(state any, pod *core.Pod, _ []*core.Node) any {
	s, _ := state.(nearness)
	var sums tally
	own := len(pod.Terms.Preferred)+len(pod.Terms.PreferredAnti) > 0
	for _, node := range s.view.Nodes {
		others := node.WithTerms
		if own {
			others = node.Pods
		}
		weigh := func(terms []core.Term, target *core.Pod, weight func(*core.Term) int64) {
			for i := range terms {
				if d, ok := domainOf(node, terms[i].TopologyKey); ok && terms[i].Matches(target, s.view.Namespaces) {
					sums.add(d, weight(&terms[i]))
				}
			}
		}
		for _, other := range others {
			weigh(pod.Terms.Preferred, other, liked)
			weigh(pod.Terms.PreferredAnti, other, disliked)
			weigh(other.Terms.Required, pod, func(*core.Term) int64 { return requiredWeight })
			weigh(other.Terms.Preferred, pod, liked)
			weigh(other.Terms.PreferredAnti, pod, disliked)
		}
	}
	return sums
}

func liked(t *core.Term) int64    { return t.Weight }
func disliked(t *core.Term) int64 { return -t.Weight }

// Score implements core.Scorer: the sum over the node's domains.
func (InterPodAffinity) Score(state any, _ *core.Pod, node *core.Node) int64 {
	sums, _ := state.(tally)
	if len(sums.base) == 0 {
		return 0
	}
	var score int64
	for key := range node.Object.Labels {
		d, _ := domainOf(node, key)
		score += sums.of(d)
	}
	return score
}

// Normalize implements core.Normalizer: from the lowest sum, which may be negative, to the highest.
func (InterPodAffinity) Normalize(scores []int64) {
	lowest, highest := int64(math.MaxInt64), int64(math.MinInt64)
	for _, n := range scores {
		lowest, highest = min(lowest, n), max(highest, n)
	}
	for i, n := range scores {
		scores[i] = 0
		if highest > lowest {
			scores[i] = int64(float64(core.MaxScore) * (float64(n-lowest) / float64(highest-lowest)))
		}
	}
}

// Helps implements core.Waker.
func (InterPodAffinity) Helps(pod *core.Pod, c *core.Change) bool {
	t := &pod.Terms
	switch {
	case c.Relabelled, c.NodeCame(), c.NodeGone(): // the pods of a node that is gone are near to none
		return true
	case c.NodeChanged():
		return labelsChanged(c)
	case c.OldPod == nil && c.Pod == nil:
		return false
	}
	matches := func(term core.Term, other *core.Pod) bool { return other != nil && term.Matches(other, c.Namespaces) }
	wants := func(other *core.Pod) bool { return other != nil && matchesAll(t.Required, other, c.Namespaces) }
	switch {
	case wants(c.Pod) != wants(c.OldPod):
		// One that is wanted has come; or one has gone that may have been the last: then the pod may be the first.
		return true
	case c.PodGone() && matchesAny(c.OldPod.Terms.RequiredAnti, pod, c.Namespaces):
		return true
	}
	return slices.ContainsFunc(t.RequiredAnti, func(term core.Term) bool {
		return matches(term, c.OldPod) && !matches(term, c.Pod)
	})
}
