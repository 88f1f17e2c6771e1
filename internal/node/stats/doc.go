// Package stats says what the node's pods use. The runtime measures them (CRI stats), the node itself is measured through its
// control groups and /proc. Out flow the kubelet's Summary API and Prometheus metrics under the names that upstream uses.
package stats
