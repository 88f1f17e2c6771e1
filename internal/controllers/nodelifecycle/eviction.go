package nodelifecycle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Eviction is the eviction controller. All nodes are one key.
type Eviction struct{ cfg Config }

// NewEviction returns the eviction controller.
func NewEviction(cfg Config) *Eviction { return &Eviction{cfg: cfg.withDefaults()} }

// Name implements reconcile.Controller.
func (*Eviction) Name() string { return "node-eviction-controller" }

// Inputs implements reconcile.Controller.
func (*Eviction) Inputs() []reconcile.Input {
	return []reconcile.Input{{
		Resource: kinds.Nodes(),
		Keys:     func(reconcile.View, api.Object) []reconcile.Key { return []reconcile.Key{{Name: "all"}} },
		Relevant: func(old, obj api.Object) bool {
			a, ok1 := old.(*corev1.Node)
			b, ok2 := obj.(*corev1.Node)
			return !ok1 || !ok2 || readyTaint(a) != readyTaint(b) || noExecute(a) != noExecute(b) || zoneOf(a) != zoneOf(b)
		},
	}}
}

// Outputs implements reconcile.Controller.
func (*Eviction) Outputs() []reconcile.Output {
	return []reconcile.Output{{Resource: kinds.Nodes(), Verbs: []client.Verb{client.Update}}}
}

// zone is the nodes that fail together.
type zone struct {
	ready, down int
	list        []*corev1.Node
	lastTainted time.Time
}

// Reconcile implements reconcile.Controller.
func (e *Eviction) Reconcile(v reconcile.View, _ reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	zones := map[string]*zone{}
	anyReady := false
	for node := range reconcile.All[*corev1.Node](v, kinds.Nodes(), "") {
		z := zones[zoneOf(node)]
		if z == nil {
			z = &zone{}
			zones[zoneOf(node)] = z
		}
		z.add(node)
		anyReady = anyReady || z.ready > 0
	}
	var writes []reconcile.Write
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		z := zones[name]
		interval, evicts := e.interval(z, anyReady)
		writes = append(writes, z.taint(&p, v.Now(), interval, evicts, anyReady)...)
	}
	p.Add(writes...)
	return p, nil
}

// add counts the node. One that never reported counts as down.
func (z *zone) add(node *corev1.Node) {
	z.list = append(z.list, node)
	if c := condition(node, corev1.NodeReady); c != nil && c.Status == corev1.ConditionTrue {
		z.ready++
	} else {
		z.down++
	}
	for _, t := range node.Spec.Taints {
		if isOurNoExecute(t) && t.TimeAdded != nil && t.TimeAdded.After(z.lastTainted) {
			z.lastTainted = t.TimeAdded.Time
		}
	}
}

// interval is the least time between two evictions in the zone now; evicts is false when there may be none. When no node
// anywhere is ready it is us who are cut off.
func (e *Eviction) interval(z *zone, anyReady bool) (least time.Duration, evicts bool) {
	switch {
	case !anyReady:
		return 0, false
	case z.ready > 0 && z.down > 2 && float64(z.down)/float64(z.ready+z.down) >= e.cfg.UnhealthyShare:
		return e.cfg.SecondaryInterval, len(z.list) > e.cfg.LargeZone
	}
	return e.cfg.EvictionInterval, true
}

// taint returns the writes that make the zone's NoExecute taints what they should be. Taints go at once when a node is ready
// again or all are down; they come one node an interval, the longest down first. A taint that changes its kind stays in time.
func (z *zone) taint(p *reconcile.Plan, now time.Time, interval time.Duration, evicts, anyReady bool) []reconcile.Write {
	slices.SortStableFunc(z.list, func(a, b *corev1.Node) int { return downSince(a).Compare(downSince(b)) })
	var writes []reconcile.Write
	for _, node := range z.list {
		has, wants := noExecute(node), readyTaint(node)
		if condition(node, corev1.NodeReady) == nil {
			continue // not known yet; it keeps what it registered with
		}
		if !anyReady {
			wants = ""
		}
		if has == wants {
			continue
		}
		if has == "" {
			if !evicts {
				continue
			}
			if wait := z.lastTainted.Add(interval).Sub(now); !z.lastTainted.IsZero() && wait > 0 {
				p.Again(wait)
				continue
			}
			z.lastTainted = now
		}
		wanted := map[string]bool{}
		if wants != "" {
			wanted[wants] = true
		}
		taints, _ := replaceOurs(node, corev1.TaintEffectNoExecute, wanted, now)
		node = node.DeepCopy()
		node.Spec.Taints = taints
		writes = append(writes, reconcile.Updating(kinds.Nodes(), node))
	}
	return writes
}

func downSince(node *corev1.Node) time.Time {
	if c := condition(node, corev1.NodeReady); c != nil {
		return c.LastTransitionTime.Time
	}
	return node.CreationTimestamp.Time
}

func isOurNoExecute(t corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoExecute && (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
}

// noExecute returns the key of the node's NoExecute taint of ours, "" when it has none.
func noExecute(node *corev1.Node) string {
	for _, t := range node.Spec.Taints {
		if isOurNoExecute(t) {
			return t.Key
		}
	}
	return ""
}

// zoneOf names the node's region and zone together.
func zoneOf(node *corev1.Node) string {
	region := cmp.Or(node.Labels[corev1.LabelTopologyRegion], node.Labels[corev1.LabelFailureDomainBetaRegion])
	name := cmp.Or(node.Labels[corev1.LabelTopologyZone], node.Labels[corev1.LabelFailureDomainBetaZone])
	return region + ":" + name
}
