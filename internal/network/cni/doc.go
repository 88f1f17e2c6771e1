// Package cni is the CNI plugin that connects pods to their node (CNI specification 1.1 and 1.0), and the parts of it that the
// node's agent shares: the configuration file and the host port table.
//
// A pod gets a pair of virtual interfaces without a bridge: eth0 inside with a single address, and a peer on the node with a
// route to exactly that address. Both ends have hardware addresses that follow from the pod's address, and permanent neighbour
// entries, so no ARP is needed and nothing must be learned. In flow the runtime's environment and configuration; out flow links,
// routes, files under the state folder and elements of the table coracle-hostports. The plugin runs as a short-lived process
// per operation and must start fast: it knows no Kubernetes type.
package cni
