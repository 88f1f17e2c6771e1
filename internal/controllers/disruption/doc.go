// Package disruption keeps the status of PodDisruptionBudgets: how many of the pods they select are healthy, and how many may
// be evicted now. The eviction itself, and the list of pods under eviction, are the API server's.
//
// In flow budgets, pods and the workloads that own pods (for how many there should be); out flow budget status. Behaviour
// follows upstream's pkg/controller/disruption of Kubernetes v1.37, except that pods owned by custom resources count only
// under budgets with an absolute minAvailable: their expected number would have to be read through the scale subresource.
package disruption
