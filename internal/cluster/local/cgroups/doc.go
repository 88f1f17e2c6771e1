// Package cgroups gives a local node a subtree of every cgroup hierarchy that the machine has, and takes it away again.
//
// It works on version 1 hierarchies, on the version 2 hierarchy and on machines that have both. In flow a name such as
// coracle/NAME/NODE; out flow directories. It imports nothing of ours and nothing big: the init of a node uses it too.
package cgroups
