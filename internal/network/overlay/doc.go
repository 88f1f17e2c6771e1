// Package overlay makes the nodes' pod ranges reach each other and keeps cluster addresses off the uplink.
//
// In flow the cluster's nodes (their pod ranges and internal addresses) and the kernel's links, routes and neighbours; out flow
// routes, a VXLAN device where a peer shares no link with this node, permanent neighbour and forwarding entries, sysctls, the
// cluster's own addresses on the loopback, and the table coracle-overlay that masquerades what leaves the cluster. Want and Plan
// are pure; the rest is thin. The package knows nothing of pods, services or CNI.
package overlay
