// Package replicaset keeps as many pods running as a ReplicaSet asks for. The older ReplicationController is the same thing
// under another name and has a controller of its own here.
//
// In flow replica sets and pods; out flow pod creates, deletes and adoptions, and the set's status. It knows nothing of
// deployments but that sets of one owner share nodes when it picks which pods to delete. Behaviour follows upstream's
// pkg/controller/replicaset of Kubernetes v1.37.
//
// This package is the model of a controller: controller.go declares, plan.go decides, status.go reports, testdata tells what
// happens in files that can be read without Go.
package replicaset
