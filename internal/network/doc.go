// Package network is a node's network: pod addresses and links, routes between nodes, services, and the cluster's names.
//
// In flow the API objects of a client (Nodes, Services, EndpointSlices) and the kernel's notifications; out flow links, routes,
// nftables tables, DNS answers, and the configuration file that tells the container runtime to use our CNI plugin. Each part is
// a package of its own, a pure plan and a thin hand, and knows none of the others: cni (with ipam) connects pods, overlay routes,
// proxy translates service addresses, dns answers. This package only starts them, starts them anew when they fail, and writes
// the configuration file once the node has a pod range and everything a pod may need is in place. It knows nothing of pods or
// containers.
package network
