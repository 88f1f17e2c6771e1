// Package probe watches over running containers: startup, liveness and readiness probes, each in its own small loop.
//
// In flow the containers that run now (Set.Update); out flow results that changed. What follows from a result is the pod state
// machine's to decide. When to try (timing.go) and counting towards the thresholds (count.go) are pure; one try is package
// handler's.
package probe
