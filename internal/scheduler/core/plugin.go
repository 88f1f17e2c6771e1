package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// MaxScore is the best score a plugin may give a node; the worst is 0.
const MaxScore int64 = 100

// Plugin is a rule. What it can do shows in the further interfaces that it implements: Preparer, Filter, Adjuster,
// ScorePreparer, Scorer, Normalizer, Waker. Plugins hold no state between pods.
type Plugin interface {
	Name() string
}

// Preparer works out what a plugin needs once per pod; the result, immutable, is handed to its other methods. A Rejection means
// that no node will do.
type Preparer interface {
	Prepare(pod *Pod, view View) (state any, rejection *Rejection)
}

// Filter says whether a node can run the pod at all; nil means yes.
type Filter interface {
	Filter(state any, pod *Pod, node *Node) *Rejection
}

// Adjuster is a Filter that looks beyond the node which it judges. Adjust returns the state as it would be with another pod
// put on a node (sign 1) or taken off it (sign -1); the given state does not change.
type Adjuster interface {
	Adjust(state any, pod *Pod, node *Node, other *Pod, sign int64) any
}

// ScorePreparer works out what Score needs once it is known which nodes will do. The result takes the place of Prepare's.
type ScorePreparer interface {
	PrepareScore(state any, pod *Pod, feasible []*Node) any
}

// Scorer says how good a node is for the pod; any scale, when a Normalizer brings it to 0..MaxScore.
type Scorer interface {
	Score(state any, pod *Pod, node *Node) int64
}

// Normalizer brings the scores of all nodes to 0..MaxScore in place.
type Normalizer interface {
	Normalize(scores []int64)
}

// Waker tells whether a change could turn its own rejection of a pod. A plugin without it is asked again after every change.
type Waker interface {
	Helps(pod *Pod, c *Change) bool
}

// Rejection says why a node can't run a pod.
type Rejection struct {
	// Reasons as upstream words them, for the pod's condition.
	Reasons []string
	// Final: no eviction of other pods would change it.
	Final bool
}

// Change is one thing that has happened to the cluster: to a node, to a pod that is on a node, or to the namespaces' labels.
type Change struct {
	// OldNode and Node are a node before and after; the first is nil for a new node, the second for one that is gone.
	OldNode *corev1.Node
	Node    *corev1.Node
	// OldPod and Pod are a pod while it was and is on a node; the first is nil for one that has come, the second for one that
	// has gone.
	OldPod *Pod
	Pod    *Pod
	// Relabelled says that a namespace's labels have changed.
	Relabelled bool
	// At is the picture of Node, with what is on it.
	At *Node
	// Namespaces are those of the View after the change.
	Namespaces map[string]labels.Set
}

// NodeCame tells whether the change is a new node.
func (c *Change) NodeCame() bool { return c.Node != nil && c.OldNode == nil }

// NodeChanged tells whether the change is another state of a node that was there.
func (c *Change) NodeChanged() bool { return c.Node != nil && c.OldNode != nil }

// NodeGone tells whether the change is a node that is no more.
func (c *Change) NodeGone() bool { return c.Node == nil && c.OldNode != nil }

// PodGone tells whether the change is a pod that has left its node.
func (c *Change) PodGone() bool { return c.OldPod != nil && c.Pod == nil }
