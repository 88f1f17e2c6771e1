// Package nodelifecycle judges which nodes are alive and keeps pods off those that are not. It holds two controllers.
//
// The health controller judges each node by its heartbeats: when neither its lease nor its status has changed for the grace
// period, its conditions become Unknown and its pods count as not ready. A heartbeat is dated by when this process first saw
// it, so the clocks of nodes don't matter. It also turns conditions and spec.unschedulable into NoSchedule taints.
//
// The eviction controller puts the NoExecute taints on nodes that are not ready, from which package tainteviction deletes pods.
// It looks at all nodes at once, because it must stop when too many are down: then it is more likely the network between them
// and us.
//
// In flow nodes, leases and pods; out flow node status, node taints and pod status. Behaviour follows upstream's
// pkg/controller/nodelifecycle of Kubernetes v1.37.
package nodelifecycle
