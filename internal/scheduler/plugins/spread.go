package plugins

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/scheduler/core"
)

// PodTopologySpread keeps the pods that a constraint selects spread evenly over zones, nodes or other domains: as a must or as
// a wish. Pods that say nothing of it are spread over nodes and zones together with their siblings, as a wish.
type PodTopologySpread struct{}

// How unevenly siblings may be spread before it counts, for pods without constraints of their own: upstream's system defaults.
const (
	defaultHostSkew = 3
	defaultZoneSkew = 5
)

const reasonSpread = "node(s) didn't match pod topology spread constraints"

// Name implements core.Plugin.
func (PodTopologySpread) Name() string { return "PodTopologySpread" }

// constraint is a topology spread constraint with what is missing filled in.
type constraint struct {
	key        string
	maxSkew    int64
	minDomains int64
	selector   labels.Selector
	// self is 1 when the pod is one of those it selects.
	self int64
	// Which nodes count: only those that the pod's node affinity allows, only those whose taints it tolerates.
	affinity, taints bool
}

// spreading is what Prepare hands on.
type spreading struct {
	view core.View
	hard []constraint
	// counts has, per hard constraint, the matching pods of the domains that count.
	counts []domainCounts
	soft   []constraint
	// partial: nodes that lack some of the soft constraints' labels are scored by the others, instead of not at all.
	partial bool
}

// domainCounts are a constraint's counts and, so that their minimum need not be searched for, the two lowest.
type domainCounts struct {
	tally
	lowest [2]domainCount
}

type domainCount struct {
	domain domain
	n      int64
}

// Prepare implements core.Preparer.
func (PodTopologySpread) Prepare(pod *core.Pod, view core.View) (any, *core.Rejection) {
	s := spreading{view: view}
	var err error
	if s.hard, s.soft, s.partial, err = constraintsOf(pod, view.Siblings); err != nil {
		return nil, &core.Rejection{Reasons: []string{"invalid topology spread constraint: " + err.Error()}, Final: true}
	}
	if len(s.hard) == 0 {
		return s, nil
	}
	s.counts = make([]domainCounts, len(s.hard))
	for _, node := range view.Nodes {
		if !hasKeys(node, s.hard) {
			continue
		}
		for i := range s.hard {
			if c := &s.hard[i]; c.includes(pod, node) {
				d, _ := domainOf(node, c.key)
				s.counts[i].add(d, c.count(pod, node))
			}
		}
	}
	for i := range s.counts {
		s.counts[i].findLowest()
	}
	return s, nil
}

// constraintsOf returns the pod's constraints: its own, or the default ones for its siblings.
func constraintsOf(pod *core.Pod, siblings labels.Selector) (hard, soft []constraint, partial bool, err error) {
	if len(pod.Spec.TopologySpreadConstraints) == 0 {
		if siblings == nil {
			return nil, nil, false, nil
		}
		return nil, []constraint{
			{key: corev1.LabelHostname, maxSkew: defaultHostSkew, selector: siblings, affinity: true},
			{key: corev1.LabelTopologyZone, maxSkew: defaultZoneSkew, selector: siblings, affinity: true},
		}, true, nil
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		t := &pod.Spec.TopologySpreadConstraints[i]
		c, err := readConstraint(pod, t)
		if err != nil {
			return nil, nil, false, fmt.Errorf("over %s: %w", t.TopologyKey, err)
		}
		if t.WhenUnsatisfiable == corev1.ScheduleAnyway {
			soft = append(soft, c)
		} else {
			hard = append(hard, c)
		}
	}
	return hard, soft, false, nil
}

func readConstraint(pod *core.Pod, t *corev1.TopologySpreadConstraint) (constraint, error) {
	selector, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
	if err != nil {
		return constraint{}, err
	}
	own := labels.Set(pod.Labels)
	// The API server has merged these keys into the selectors of pods that it has made; older ones have only the keys.
	// A selector that selects nothing takes no requirements.
	if reqs, selects := selector.Requirements(); selects {
		keyed := labels.Set{}
		for _, key := range t.MatchLabelKeys {
			if value, ok := own[key]; ok {
				keyed[key] = value
			}
		}
		selector = keyed.AsSelectorPreValidated().Add(reqs...)
	}
	c := constraint{key: t.TopologyKey, maxSkew: int64(t.MaxSkew), minDomains: 1, selector: selector, affinity: true}
	if t.MinDomains != nil {
		c.minDomains = int64(*t.MinDomains)
	}
	if t.NodeAffinityPolicy != nil {
		c.affinity = *t.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
	}
	if t.NodeTaintsPolicy != nil {
		c.taints = *t.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	}
	if selector.Matches(own) {
		c.self = 1
	}
	return c, nil
}

// includes tells whether the node counts for the constraint.
func (c *constraint) includes(pod *core.Pod, node *core.Node) bool {
	if c.affinity {
		// An affinity that can't be read matches nothing; NodeAffinity says so.
		if match, err := pod.Required.Match(node.Object); err != nil || !match {
			return false
		}
	}
	return !c.taints || untolerated(pod, node) == nil
}

// selects tells whether another pod counts for the constraint: those that are going don't.
func (c *constraint) selects(pod, other *core.Pod) bool {
	return other.Namespace == pod.Namespace && other.DeletionTimestamp == nil && c.selector.Matches(labels.Set(other.Labels))
}

func (c *constraint) count(pod *core.Pod, node *core.Node) int64 {
	var n int64
	if c.selector.Empty() {
		return 0
	}
	for _, other := range node.Pods {
		if c.selects(pod, other) {
			n++
		}
	}
	return n
}

func hasKeys(node *core.Node, constraints []constraint) bool {
	for i := range constraints {
		if _, ok := node.Object.Labels[constraints[i].key]; !ok {
			return false
		}
	}
	return true
}

// Filter implements core.Filter: with the pod, the node's domain may have at most maxSkew pods more than the one that has least.
func (PodTopologySpread) Filter(state any, _ *core.Pod, node *core.Node) *core.Rejection {
	s, _ := state.(spreading)
	for i := range s.hard {
		c := &s.hard[i]
		d, ok := domainOf(node, c.key)
		if !ok {
			return &core.Rejection{Reasons: []string{reasonSpread + " (missing required label)"}, Final: true}
		}
		if s.counts[i].of(d)+c.self-s.counts[i].least(c.minDomains) > c.maxSkew {
			return &core.Rejection{Reasons: []string{reasonSpread}}
		}
	}
	return nil
}

// Adjust implements core.Adjuster.
func (PodTopologySpread) Adjust(state any, pod *core.Pod, node *core.Node, other *core.Pod, sign int64) any {
	s, _ := state.(spreading)
	if len(s.hard) == 0 || !hasKeys(node, s.hard) {
		return s
	}
	counts := make([]domainCounts, len(s.counts))
	copy(counts, s.counts)
	for i := range s.hard {
		if c := &s.hard[i]; !c.selector.Empty() && c.selects(pod, other) && c.includes(pod, node) {
			d, _ := domainOf(node, c.key)
			counts[i].tally = counts[i].plus(d, sign)
		}
	}
	s.counts = counts
	return s
}

func (t *domainCounts) findLowest() {
	t.lowest = [2]domainCount{{n: math.MaxInt64}, {n: math.MaxInt64}}
	for d, n := range t.base {
		switch {
		case n < t.lowest[0].n:
			t.lowest[0], t.lowest[1] = domainCount{d, n}, t.lowest[0]
		case n < t.lowest[1].n:
			t.lowest[1] = domainCount{d, n}
		}
	}
}

// least returns the lowest count of a domain; while there are fewer domains than wanted, it is that of one which is yet to come.
func (t *domainCounts) least(wanted int64) int64 {
	if len(t.base) == 0 || int64(len(t.base)) < wanted {
		return 0
	}
	least := int64(math.MaxInt64)
	if len(t.change) <= 1 { // changes are on one node, thus in one domain: one of the two lowest is untouched
		for _, l := range t.lowest {
			if _, changed := t.change[l.domain]; !changed {
				least = min(least, l.n)
			}
		}
		for d := range t.change {
			least = min(least, t.of(d))
		}
		return least
	}
	for d := range t.base {
		least = min(least, t.of(d))
	}
	return least
}

// Helps implements core.Waker.
func (PodTopologySpread) Helps(pod *core.Pod, c *core.Change) bool {
	hard, _, _, err := constraintsOf(pod, nil)
	if err != nil {
		return true
	}
	switch {
	case c.OldNode != nil || c.Node != nil:
		return spreadsOver(hard, c)
	case c.OldPod != nil || c.Pod != nil:
		for i := range hard {
			before := c.OldPod != nil && hard[i].selects(pod, c.OldPod)
			after := c.Pod != nil && hard[i].selects(pod, c.Pod)
			if before != after {
				return true
			}
		}
	}
	return false
}

// spreadsOver tells whether a change of a node is one of the domains that the constraints spread over.
func spreadsOver(hard []constraint, c *core.Change) bool {
	was := c.OldNode != nil && hasKeys(&core.Node{Object: c.OldNode}, hard)
	is := c.Node != nil && hasKeys(&core.Node{Object: c.Node}, hard)
	if was != is || !was {
		return was != is
	}
	if taintsChanged(c) {
		return true
	}
	for i := range hard {
		if c.OldNode.Labels[hard[i].key] != c.Node.Labels[hard[i].key] {
			return true
		}
	}
	return labelsChanged(c) // it may count now, or count no more, for the pod's node affinity
}
