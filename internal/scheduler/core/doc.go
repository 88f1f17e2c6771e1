// Package core is the scheduler's pure part: Cluster, a picture of the nodes and the pods on them, whose View is immutable, and
// Profile, which by the plugins it is made of finds the best node for a pod (Schedule), the pods that should give way when there
// is none (Preempt), and the changes that could help one which waits (Helps). No clock, no I/O; the one random choice (between
// nodes of equal score) is passed in.
package core
