package core

import (
	"slices"

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
	// WithTerms are those of Pods that have any pod affinity or anti-affinity, WithAnti those that require anti-affinity: few,
	// so that rules about every pod's terms need not look at every pod.
	WithTerms []*Pod
	WithAnti  []*Pod
	// Nominated are the pods that were promised room here and are not placed: those for which others were evicted.
	Nominated []*Pod
	// Images maps image names on the node to their size in bytes.
	Images map[string]int64
}

// With returns the node with one more pod on it.
func (n *Node) With(p *Pod) *Node {
	m := *n
	m.Pods = append(slices.Clip(n.Pods), p)
	m.Requested = n.Requested.plus(p.Requests, 1)
	m.Assumed = n.Assumed.plus(p.Assumed, 1)
	if p.Terms.any() {
		m.WithTerms = append(slices.Clip(n.WithTerms), p)
	}
	if len(p.Terms.RequiredAnti) > 0 {
		m.WithAnti = append(slices.Clip(n.WithAnti), p)
	}
	return &m
}

// Without returns the node without a pod that is on it.
func (n *Node) Without(p *Pod) *Node {
	m := *n
	m.Pods = without(n.Pods, p.UID)
	m.Requested = n.Requested.plus(p.Requests, -1)
	m.Assumed = n.Assumed.plus(p.Assumed, -1)
	m.WithTerms = without(n.WithTerms, p.UID)
	m.WithAnti = without(n.WithAnti, p.UID)
	return &m
}

func without(pods []*Pod, uid types.UID) []*Pod {
	i := slices.IndexFunc(pods, func(p *Pod) bool { return p.UID == uid })
	if i < 0 {
		return pods
	}
	kept := make([]*Pod, 0, len(pods)-1)
	kept = append(kept, pods[:i]...)
	return append(kept, pods[i+1:]...)
}
