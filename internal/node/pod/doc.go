// Package pod is the pod state machine: what a node must do for a pod, and what it may say about it, as pure functions.
//
// In flow a pod as the API has it and an Observed: everything that the agent saw of it (sandboxes, containers, probe results,
// failures of earlier tries) with the time of the look. Next gives the operations that should be under way now, Status the
// status to report. Nothing here performs anything, knows a clock or remembers: what must be remembered comes back in the next
// Observed. Behaviour follows the kubelet of Kubernetes v1.37.
//
// The set that Next returns is declarative: an operation that is under way and no longer in the set is to be cancelled, one in
// the set that is not under way is to be begun.
package pod
