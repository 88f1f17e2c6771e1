// Package scheduler decides which node runs each pod that has none, and binds it there.
//
// core is pure: an immutable picture of the nodes and a pod go in, a decision comes out, with every node's reason when there
// is none. plugins holds the rules, each a small unit; plugins/order.go is the one list that says which run and what they
// weigh. queue is a state machine that says which pod is next and when. The loop in this package is thin: it feeds events to
// the picture and the queue, lays its own bindings that it has not yet observed over the picture, and writes.
//
// In flow nodes, pods and namespaces, which wake waiting pods when they change; Services, ReplicaSets, ReplicationControllers,
// StatefulSets and PodDisruptionBudgets are read when a decision needs them. Out flow bindings, the PodScheduled condition and
// the nominated node of pods that found none, events, and, where less important pods must give way, their DisruptionTarget
// condition and deletes.
//
// The scheduler knows nodes and pods as the API shows them, never how a node runs a pod.
package scheduler
