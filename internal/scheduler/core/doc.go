// Package core is the scheduler's pure part: Cluster, an immutable picture of the nodes and the pods on them, and Profile,
// which finds the best node for a pod by the plugins it is made of. No clock, no I/O; the one random choice (between nodes
// of equal score) is passed in.
package core
