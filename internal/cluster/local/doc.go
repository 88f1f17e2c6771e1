// Package local makes clusters on one machine: every node is a set of namespaces with an agent of its own, and the machine's
// own network, mounts and rules stay as they are.
//
// In flow a name and a number of nodes; out flow processes, cgroups and one folder per cluster, and a kubeconfig that works on
// the machine. What exists is written down before it is made, so that Down removes all of it whatever was interrupted.
// Processes are known by their number and the time they started, and are signalled by pidfd, so none of another's is ever hit.
//
// The nodes' insides are packages nodeinit (a node's first process) and holder (the cluster's network), which the helper
// program coracle-init carries. What runs in a node is the caller's choice of command; see Options.
package local
