// Package podgc deletes pods that nobody else will: pods bound to a node that no longer exists, pods that are being deleted
// but never got a node, pods on nodes declared out of service, and the oldest finished pods beyond a threshold.
//
// In flow pods and nodes; out flow pod status and deletes without grace. Before a node counts as gone its absence is confirmed
// by a consistent read made some time later, through the port "node": a node may just be registering anew. Behaviour follows
// upstream's pkg/controller/podgc of Kubernetes v1.37.
package podgc
