// Package naming works out what a pod calls itself and whom it asks for names: hostname, /etc/hosts and the resolver's
// configuration. Pure: a pod and the node's settings in, text out. Behaviour follows the kubelet of v1.37.
package naming
