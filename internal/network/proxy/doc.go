// Package proxy makes the addresses of Services lead to their endpoints, by nftables.
//
// In flow Services, EndpointSlices and this node's labels; out flow the table coracle and, for UDP, deletions of connection
// tracking entries whose endpoint is gone. Every address, port and protocol is one element of a verdict map, every endpoint one
// element of a map from a random number to an address: a packet meets a constant number of rules however many services and
// endpoints there are. Compile is pure: a service and its slices in, its part of the table out. Changes are applied element by
// element in one transaction; the whole table is written at the start and when someone else touched it.
//
// The behaviour follows the documentation of Services: traffic policies, session affinity, terminating endpoints, topology
// hints, source ranges, health checks of node ports. The package knows nothing of pods, routes or DNS.
package proxy
