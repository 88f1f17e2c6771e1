package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Node is one node and the pods on it. Immutable: a change makes a new Node that shares what did not change.
type Node struct {
	// Object is nil for a node that pods name but that does not exist (yet, or any more).
	Object      *corev1.Node
	Name        string
	Allocatable Resources
	// Requested sums the pods' requests, Assumed the requests with assumed amounts.
	Requested Resources
	Assumed   Resources
	Pods      []*Pod
	// Images maps image names on the node to their size in bytes.
	Images map[string]int64
}

// Cluster is the picture of all nodes. It is changed by one goroutine; the Nodes that Nodes returns are immutable and may be
// kept. Pods are counted where their spec says or, for a binding not yet observed, where Assume put them.
type Cluster struct {
	nodes map[string]*Node
	// sorted is the list of existing nodes by name, nil when it must be made again.
	sorted []*Node
	// placed says on which node each counted pod is.
	placed map[types.UID]placement
}

type placement struct {
	node    string
	pod     *Pod
	assumed bool
}

// NewCluster returns an empty picture.
func NewCluster() *Cluster {
	return &Cluster{nodes: map[string]*Node{}, placed: map[types.UID]placement{}}
}

// Nodes returns the existing nodes by name. The slice is shared, not to be changed.
func (c *Cluster) Nodes() []*Node {
	if c.sorted == nil {
		c.sorted = make([]*Node, 0, len(c.nodes))
		for _, n := range c.nodes {
			if n.Object != nil {
				c.sorted = append(c.sorted, n)
			}
		}
		slices.SortFunc(c.sorted, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	}
	return c.sorted
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
	n := c.edit(obj.Name)
	n.Object = obj
	n.Allocatable = resourcesOf(obj.Status.Allocatable)
	n.Images = make(map[string]int64)
	for _, img := range obj.Status.Images {
		for _, name := range img.Names {
			n.Images[name] = img.SizeBytes
		}
	}
}

// RemoveNode forgets a node; pods that are still on it stay counted should it come back.
func (c *Cluster) RemoveNode(name string) {
	n, ok := c.nodes[name]
	if !ok {
		return
	}
	c.sorted = nil
	if len(n.Pods) == 0 {
		delete(c.nodes, name)
		return
	}
	e := c.edit(name)
	e.Object, e.Allocatable, e.Images = nil, Resources{}, nil
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
		c.RemovePod(p.UID)
	default:
		if known {
			c.take(p.UID, old)
		}
		c.put(placement{node: p.Spec.NodeName, pod: p})
	}
}

// RemovePod forgets a pod, assumed or observed.
func (c *Cluster) RemovePod(uid types.UID) {
	if old, ok := c.placed[uid]; ok {
		c.take(uid, old)
	}
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

func (c *Cluster) put(pl placement) {
	n := c.edit(pl.node)
	n.Pods = append(slices.Clip(n.Pods), pl.pod)
	n.Requested = n.Requested.plus(pl.pod.Requests, 1)
	n.Assumed = n.Assumed.plus(pl.pod.Assumed, 1)
	c.placed[pl.pod.UID] = pl
}

func (c *Cluster) take(uid types.UID, pl placement) {
	delete(c.placed, uid)
	n := c.edit(pl.node)
	kept := make([]*Pod, 0, len(n.Pods))
	for _, p := range n.Pods {
		if p.UID != uid {
			kept = append(kept, p)
		}
	}
	n.Pods = kept
	n.Requested = n.Requested.plus(pl.pod.Requests, -1)
	n.Assumed = n.Assumed.plus(pl.pod.Assumed, -1)
	if n.Object == nil && len(kept) == 0 {
		delete(c.nodes, pl.node)
	}
}

// edit puts a fresh copy of the node in place and returns it.
func (c *Cluster) edit(name string) *Node {
	c.sorted = nil
	n := &Node{Name: name}
	if old, ok := c.nodes[name]; ok {
		*n = *old
	}
	c.nodes[name] = n
	return n
}
