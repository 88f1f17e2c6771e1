// Package cgroup keeps the tree of control groups that pods live in: kubepods, below it a group per class of service, below
// that a group per pod. Containers' own groups are the runtime's.
//
// In flow pods, out flow folders and limits below a root that may be anybody's: on a hybrid or v1 machine the same path in
// every controller's hierarchy, on v2 the one hierarchy. The limits are computed purely (see plan.go); only tree.go touches
// files. Where a controller is missing or refuses, the tree says so once and goes on without it.
package cgroup
