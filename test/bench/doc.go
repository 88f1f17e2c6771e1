// Command bench measures Coracle beside upstream's own binaries on this machine and writes docs/performance.md.
//
// Both systems run one after the other in the same kind of node: namespaces of their own with a containerd of the same build
// and configuration. In flow bin/coracle and upstream's programs, built from their Go modules (see upstream/go.mod); out flow
// a table on standard output and the part of the document between two marks. What people wrote around it stays.
//
// Clients run on the machine but their sockets are made in the node's network, so nothing stands between them and the API
// server. They share the machine's processors with what they measure, for both systems alike.
package main
