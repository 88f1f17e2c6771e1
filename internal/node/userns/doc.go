// Package userns gives pods with their own user namespace (hostUsers: false) ranges of user IDs of the host that no other pod
// has. A range is written into the pod's folder before it is used, so that an agent that starts again knows it.
//
// In flow the UIDs of pods; out flow ranges. It mounts and maps nothing.
package userns
