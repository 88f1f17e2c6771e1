package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// View is what one decision looks at. Immutable.
type View struct {
	// Nodes are the existing nodes by name.
	Nodes []*Node
	// Namespaces maps the namespaces to their labels.
	Namespaces map[string]labels.Set
	// Siblings selects the pods that belong together with the one to place (see Siblings); nil when nothing does.
	Siblings labels.Selector
}

// Cluster is the picture of all nodes. It is changed by one goroutine; the View that it gives is immutable and may be kept.
// Pods are counted where their spec says or, for a binding not yet observed, where Assume put them.
type Cluster struct {
	nodes map[string]*Node
	// names are those of the existing nodes, sorted; nil when they must be sorted again. list are the nodes in that order, nil
	// when one of them has changed.
	names []string
	list  []*Node
	// placed says on which node each counted pod is, nominated which node was promised to a pod that is on none.
	placed     map[types.UID]placement
	nominated  map[types.UID]placement
	namespaces map[string]labels.Set
	// handedOut: a View holds namespaces, so that a change must be made to a copy.
	handedOut bool
}

type placement struct {
	node    string
	pod     *Pod
	assumed bool
}

// NewCluster returns an empty picture.
func NewCluster() *Cluster {
	return &Cluster{
		nodes: map[string]*Node{}, placed: map[types.UID]placement{}, nominated: map[types.UID]placement{},
		namespaces: map[string]labels.Set{},
	}
}

// View returns the picture as it is now, for a pod without siblings.
func (c *Cluster) View() View {
	return View{Nodes: c.Nodes(), Namespaces: c.Namespaces()}
}

// Nodes returns the existing nodes by name. The slice is shared, not to be changed.
func (c *Cluster) Nodes() []*Node {
	if c.names == nil {
		c.names = make([]string, 0, len(c.nodes))
		for name, n := range c.nodes {
			if n.Object != nil {
				c.names = append(c.names, name)
			}
		}
		slices.Sort(c.names)
		c.list = nil
	}
	if c.list == nil {
		c.list = make([]*Node, len(c.names))
		for i, name := range c.names {
			c.list[i] = c.nodes[name]
		}
	}
	return c.list
}

// Namespaces returns the namespaces' labels. The map is shared, not to be changed.
func (c *Cluster) Namespaces() map[string]labels.Set {
	c.handedOut = true
	return c.namespaces
}

// Node returns one node by name.
func (c *Cluster) Node(name string) (*Node, bool) {
	n, ok := c.nodes[name]
	if !ok || n.Object == nil {
		return nil, false
	}
	return n, true
}

// SetNode adds a node or replaces what is known of it.
func (c *Cluster) SetNode(obj *corev1.Node) {
	n := *c.known(obj.Name)
	if n.Object == nil {
		c.names = nil
	}
	n.Object = obj
	n.Allocatable = resourcesOf(obj.Status.Allocatable)
	n.Images = make(map[string]int64)
	for _, img := range obj.Status.Images {
		for _, name := range img.Names {
			n.Images[name] = img.SizeBytes
		}
	}
	c.keep(&n)
}

// RemoveNode forgets a node; pods that are still on it stay counted should it come back.
func (c *Cluster) RemoveNode(name string) {
	n := *c.known(name)
	if n.Object == nil {
		return
	}
	c.names = nil
	n.Object, n.Allocatable, n.Images = nil, Resources{}, nil
	c.keep(&n)
}

// SetNamespace takes in a namespace's labels.
func (c *Cluster) SetNamespace(name string, set labels.Set) {
	c.ownNamespaces()
	c.namespaces[name] = set
}

// RemoveNamespace forgets a namespace.
func (c *Cluster) RemoveNamespace(name string) {
	c.ownNamespaces()
	delete(c.namespaces, name)
}

func (c *Cluster) ownNamespaces() {
	if c.handedOut {
		c.namespaces, c.handedOut = maps.Clone(c.namespaces), false
	}
}

// SetPod takes in the observed state of a pod: it counts on its node while it has one and has not ended. An observed node
// replaces an assumed one; a pod observed without a node keeps the assumed one.
func (c *Cluster) SetPod(p *Pod) {
	old, known := c.placed[p.UID]
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	switch {
	case ended:
		c.RemovePod(p.UID)
	case p.Spec.NodeName == "" && known && old.assumed:
		// The binding is under way; the view is older than it.
	case p.Spec.NodeName == "":
		if known {
			c.take(p.UID, old)
		}
		if n, ok := c.nominated[p.UID]; ok {
			c.Nominate(p, n.node)
		}
	default:
		if known {
			c.take(p.UID, old)
		}
		c.put(placement{node: p.Spec.NodeName, pod: p})
	}
}

// RemovePod forgets a pod, assumed, observed or nominated.
func (c *Cluster) RemovePod(uid types.UID) {
	if old, ok := c.placed[uid]; ok {
		c.take(uid, old)
	}
	c.denominate(uid)
}

// Placed returns the pod as it is counted on a node; nil when it is on none or its binding has not been observed.
func (c *Cluster) Placed(uid types.UID) *Pod {
	if p := c.placed[uid]; !p.assumed {
		return p.pod
	}
	return nil
}

// Assume counts a pod on a node before its binding is observed.
func (c *Cluster) Assume(p *Pod, node string) {
	c.RemovePod(p.UID)
	c.put(placement{node: node, pod: p, assumed: true})
}

// Forget undoes Assume unless the pod has been observed on a node since.
func (c *Cluster) Forget(uid types.UID) {
	if old, ok := c.placed[uid]; ok && old.assumed {
		c.take(uid, old)
	}
}

// Assumed tells whether the pod's binding is under way.
func (c *Cluster) Assumed(uid types.UID) bool {
	return c.placed[uid].assumed
}

// Nominate promises a pod room on a node, in place of a former promise; an empty node only takes that back. A pod that is
// placed needs no promise.
func (c *Cluster) Nominate(p *Pod, node string) {
	c.denominate(p.UID)
	if _, placed := c.placed[p.UID]; placed || node == "" {
		return
	}
	n := *c.known(node)
	n.Nominated = append(slices.Clip(n.Nominated), p)
	c.nominated[p.UID] = placement{node: node, pod: p}
	c.keep(&n)
}

// Nominated returns the node that was promised to the pod, empty when none was.
func (c *Cluster) Nominated(uid types.UID) string { return c.nominated[uid].node }

func (c *Cluster) denominate(uid types.UID) {
	old, ok := c.nominated[uid]
	if !ok {
		return
	}
	delete(c.nominated, uid)
	n := *c.known(old.node)
	n.Nominated = without(n.Nominated, uid)
	c.keep(&n)
}

func (c *Cluster) put(pl placement) {
	c.denominate(pl.pod.UID)
	c.placed[pl.pod.UID] = pl
	c.keep(c.known(pl.node).With(pl.pod))
}

func (c *Cluster) take(uid types.UID, pl placement) {
	delete(c.placed, uid)
	c.keep(c.known(pl.node).Without(pl.pod))
}

// known returns what is known of a node, which may be no more than its name.
func (c *Cluster) known(name string) *Node {
	if n, ok := c.nodes[name]; ok {
		return n
	}
	return &Node{Name: name}
}

// keep puts a node in the place of its former state; one of which nothing is left is forgotten.
func (c *Cluster) keep(n *Node) {
	c.list = nil
	if n.Object == nil && len(n.Pods) == 0 && len(n.Nominated) == 0 {
		delete(c.nodes, n.Name)
		return
	}
	c.nodes[n.Name] = n
}
