// Package holder is the process that holds a local cluster's network: a bridge in a network namespace of its own, to which
// every node is attached.
//
// The machine's own rules, routes and devices stay as they are. Two things cross the border, both as bytes copied between
// sockets: connections from the machine into the cluster, by listening sockets that were made on the machine and are handed
// to this process; and, unless the cluster is offline, names and TLS connections from the nodes to the outside, which is how
// images are pulled. Pods have no other way out.
//
// It imports nothing big: it costs a few MiB for as long as the cluster lives.
package holder
