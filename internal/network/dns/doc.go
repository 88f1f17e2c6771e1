// Package dns is the cluster's DNS server, which every node runs for its own pods.
//
// In flow Services with their EndpointSlices, and queries; out flow answers. Names within the cluster's domain are answered as
// the Kubernetes DNS-based service discovery specification 1.1 says; Answer is pure: a view, a zone and a question in, records
// out. Everything else is forwarded to the node's own resolvers and cached. The package knows nothing of nftables or links: the
// address it serves is put on the loopback by the overlay.
package dns
