// Package pki makes and renews a cluster's certificates, keys, kubeconfigs and join tokens.
//
// In flow a directory, names and addresses, and the time; out flow files that only their owner may read. The cluster has one
// certificate authority for servers and clients, one for the front proxy, and one key that signs service account tokens.
// Leaf certificates are renewed at start when a third of their life or less is left, or when what they should say changed.
// The package knows no API server and no agent; joining a running cluster is package join's.
package pki
