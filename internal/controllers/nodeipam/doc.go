// Package nodeipam gives each node its part of the cluster's pod address range, as spec.podCIDRs. In flow nodes; out flow
// patches of nodes. All nodes are one key: a plan that gives out several ranges waits until it sees them all before the next,
// so no range is given twice. Behaviour follows upstream's range allocator of Kubernetes v1.37.
package nodeipam
