// Package job runs pods to completion.
//
// In flow jobs and their pods; out flow pod creates, deletes and patches, and the job's status. Behaviour follows upstream's
// pkg/controller/job of Kubernetes v1.37.
//
// Counting must survive a crash between any two writes, so a finished pod is counted in three steps. (1) The pod's UID is put
// into status.uncountedTerminatedPods (for a succeeded index, the index into completedIndexes). (2) The tracking finalizer is
// taken off the pod, which until then cannot vanish. (3) A UID whose pod has no finalizer any more moves from the list into the
// counter. A plan holds (3) for earlier pods and (1) in its first group and (2) in its second; the rest follows when the view
// shows them.
//
// Files: plan.go is the order of things, finish.go decides whether the job has ended, manage.go which pods to make and delete,
// track.go counts, indexes.go, policy.go and backoff.go hold the arithmetic.
package job
