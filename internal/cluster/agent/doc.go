// Package agent assembles a node: containerd, the pod network, and the agent that runs pods.
//
// In flow the agent's settings and an identity, that is, a client of the API and the certificates of the node's own port; out
// flows a running node. A server's own node and one that joined differ in nothing but that identity. start.go is the one list
// of what starts, in order.
package agent
