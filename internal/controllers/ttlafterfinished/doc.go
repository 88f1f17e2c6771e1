// Package ttlafterfinished deletes finished jobs when their spec.ttlSecondsAfterFinished has passed. In flow jobs; out flow
// deletes that take the jobs' pods along. Behaviour follows upstream's pkg/controller/ttlafterfinished of Kubernetes v1.37.
package ttlafterfinished
