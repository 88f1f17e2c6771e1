package proxy

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"coracle.dev/coracle/internal/network/nft"
)

// Node is what the proxy knows about the machine it runs on.
type Node struct {
	Name string
	Zone string
	// IPs are the node's addresses, the preferred one of each family first.
	IPs []netip.Addr
}

// Backend is an address and port that a service's connections may go to.
type Backend struct {
	IP   netip.Addr
	Port uint16
}

func compareBackends(a, b Backend) int {
	return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port))
}

// candidate is an endpoint with what decides whether it is used.
type candidate struct {
	Backend
	ready, serving, terminating bool
	local                       bool // on this node
	homeless                    bool // of an unknown node
	zones, nodes                []string
}

// pools are a service port's endpoints: those for traffic policy Cluster and those on this node, for policy Local.
type pools struct {
	cluster, local []Backend
	// any tells whether some node has a usable endpoint: Local traffic is dropped rather than rejected then.
	any bool
	// own are addresses on this node: their connections may come back to themselves.
	own map[netip.Addr]bool
}

// choose decides which endpoints of one family a service port has. Order: ready ones; when there are none, those that still
// serve while they terminate. Hints narrow the first kind only when every ready endpoint has them and one is meant for us.
func choose(node Node, port *corev1.ServicePort, of []*discoveryv1.EndpointSlice, f nft.Family) pools {
	all := candidates(node, port, of, f)
	ready := filter(all, func(c candidate) bool { return c.ready })
	p := pools{own: map[netip.Addr]bool{}}
	for _, c := range all {
		if c.local || c.homeless {
			p.own[c.IP] = true
		}
	}
	usable := ready
	if len(usable) == 0 {
		usable = filter(all, func(c candidate) bool { return c.serving && c.terminating })
	}
	p.any = len(usable) > 0
	p.cluster = backends(byHints(node, usable))
	local := filter(ready, func(c candidate) bool { return c.local })
	if len(local) == 0 {
		local = filter(all, func(c candidate) bool { return c.local && c.serving && c.terminating })
	}
	p.local = backends(local)
	return p
}

// byHints narrows endpoints by their topology hints: to this node, else to this zone, else not at all.
func byHints(node Node, all []candidate) []candidate {
	for _, level := range []struct {
		want  string
		hints func(candidate) []string
	}{
		{node.Name, func(c candidate) []string { return c.nodes }},
		{node.Zone, func(c candidate) []string { return c.zones }},
	} {
		if level.want == "" || slices.ContainsFunc(all, func(c candidate) bool { return len(level.hints(c)) == 0 }) {
			continue
		}
		if near := filter(all, func(c candidate) bool { return slices.Contains(level.hints(c), level.want) }); len(near) > 0 {
			return near
		}
	}
	return all
}

func filter(all []candidate, keep func(candidate) bool) []candidate {
	var out []candidate
	for _, c := range all {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out
}

// backends returns the sorted addresses, each once: during moves two slices may hold the same endpoint.
func backends(cs []candidate) []Backend {
	out := make([]Backend, 0, len(cs))
	for _, c := range cs {
		out = append(out, c.Backend)
	}
	slices.SortFunc(out, compareBackends)
	return slices.Compact(out)
}

func candidates(node Node, port *corev1.ServicePort, all []*discoveryv1.EndpointSlice, f nft.Family) []candidate {
	var out []candidate
	for _, s := range all {
		want := discoveryv1.AddressTypeIPv4
		if f == nft.IP6 {
			want = discoveryv1.AddressTypeIPv6
		}
		if s.AddressType != want {
			continue
		}
		number, ok := portNumber(port, s)
		if !ok {
			continue
		}
		for i := range s.Endpoints {
			if c, ok := candidateOf(node, &s.Endpoints[i], number); ok && nft.FamilyOf(c.IP) == f {
				out = append(out, c)
			}
		}
	}
	return out
}

// portNumber finds a service port in a slice by name and protocol.
func portNumber(port *corev1.ServicePort, s *discoveryv1.EndpointSlice) (uint16, bool) {
	for _, p := range s.Ports {
		name, proto := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		if name != port.Name || proto != cmp.Or(port.Protocol, corev1.ProtocolTCP) {
			continue
		}
		if p.Port != nil && *p.Port > 0 && *p.Port < 65536 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func candidateOf(node Node, e *discoveryv1.Endpoint, port uint16) (candidate, bool) {
	if len(e.Addresses) == 0 {
		return candidate{}, false
	}
	ip, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return candidate{}, false
	}
	c := candidate{Backend: Backend{ip.Unmap(), port}}
	c.ready = e.Conditions.Ready == nil || *e.Conditions.Ready
	c.serving = c.ready
	if e.Conditions.Serving != nil {
		c.serving = *e.Conditions.Serving
	}
	c.terminating = e.Conditions.Terminating != nil && *e.Conditions.Terminating
	c.local = e.NodeName != nil && *e.NodeName == node.Name && node.Name != ""
	c.homeless = e.NodeName == nil
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			c.zones = append(c.zones, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			c.nodes = append(c.nodes, n.Name)
		}
	}
	return c, true
}
