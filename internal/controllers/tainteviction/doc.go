// Package tainteviction deletes pods from nodes whose NoExecute taints they don't tolerate, or not any longer.
//
// In flow pods and nodes; out flow the DisruptionTarget condition and pod deletes. How long a pod stays is counted from the
// taint's timeAdded, or when a taint has none, from when this process first saw the node's taints as they are. Behaviour
// follows upstream's pkg/controller/tainteviction of Kubernetes v1.37.
package tainteviction
