// Package deployment rolls a Deployment's pod template out through ReplicaSets: one set per version of the template, the
// newest growing while the others shrink.
//
// In flow deployments, their replica sets and (for the Recreate strategy) pods; out flow replica set creates, updates and
// deletes, and the deployment's status. It never touches a pod: that is the replica set controller's work. Behaviour, names,
// annotations and the template's hash follow upstream's pkg/controller/deployment of Kubernetes v1.37, so that kubectl rollout
// works on it.
//
// A reconcile works on copies of the sets (type rollout): each step changes them as upstream's step writes them, and at the end
// every set that changed becomes one write.
package deployment
