// Package nodeinit is the first process of a local node: it makes the node's world and keeps the agent running in it.
//
// A local node is a process with its own mount, network, PID, UTS, IPC and cgroup namespaces. The machine's side (package
// local) starts it with the namespaces, puts it into its cgroups, gives it a network device and lets it go on; from then on
// it is an init: it starts the agent, starts it again when it ends, passes SIGTERM on and collects orphans, of which
// containers' shims are the most important. When it ends the kernel ends everything in the node.
//
// It runs for as long as the node does, so it imports nothing big: it costs a few MiB.
package nodeinit
