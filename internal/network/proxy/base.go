package proxy

import (
	"net/netip"
	"strings"

	"coracle.dev/coracle/internal/network/nft"
)

// Table is the nftables table of this package.
const Table = "coracle"

// MasqueradeMark is the bit in a packet's mark that asks for this node's address as the source.
const MasqueradeMark = 0x4000

// affinitySize bounds the remembered clients of all services together, per family. Beyond it new clients get a random endpoint
// each time.
const affinitySize = 1 << 18

// Names of the sets; each exists per family with the suffix 4 or 6. Those beginning with node- are keyed by protocol and port on
// this node's own addresses, the others by address, protocol and port.
const (
	setServices     = "services"       // the chain to go to
	setEndpoints    = "endpoints"      // with a number: the endpoint
	setAffinity     = "affinity"       // with a client's address: the endpoint it had
	setReject       = "reject"         // no endpoints
	setDrop         = "drop"           // endpoints elsewhere only, by policy Local
	setNodePorts    = "node-ports"     // as services
	setNodeEndpts   = "node-endpoints" // as endpoints
	setNodeAffinity = "node-affinity"  // as affinity
	setNodeReject   = "node-reject"    // as reject
	setHairpin      = "hairpin"        // an endpoint on this node, twice: connections to itself
)

func setNames() []string {
	return []string{
		setServices, setEndpoints, setAffinity, setReject, setDrop, setNodePorts, setNodeEndpts, setNodeAffinity, setNodeReject,
		setHairpin,
	}
}

// Settings are what the proxy needs to know about the cluster.
type Settings struct {
	ClusterCIDRs []netip.Prefix
	ServiceCIDRs []netip.Prefix
	// LocalIPs are service addresses that this machine answers itself: they are neither translated nor rejected.
	LocalIPs []netip.Addr
	// MasqueradeAll gives every connection through a service this node's address as its source.
	MasqueradeAll bool
}

// set describes one of the sets above for a family.
func set(name string, f nft.Family) nft.Set {
	a := f.AddrType()
	s := nft.Set{Name: name + f.Suffix(), Key: []nft.Type{a, nft.Proto, nft.Port}}
	if strings.HasPrefix(name, "node-") {
		s.Key = s.Key[1:]
	}
	switch name {
	case setServices, setNodePorts:
		s.Verdict = true
	case setEndpoints, setNodeEndpts:
		s.Key, s.Data = append(s.Key, nft.Word), []nft.Type{a, nft.Port}
	case setAffinity, setNodeAffinity:
		s.Key, s.Data = append(s.Key, a), []nft.Type{a, nft.Port}
		s.Dynamic, s.Size = true, affinitySize
	case setHairpin:
		s.Key = []nft.Type{a, a}
	}
	return s
}

// base is the table without any service. Pure.
func base(s Settings, node Node) *nft.Table {
	t := nft.NewTable(Table)
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		for _, name := range setNames() {
			t.AddSet(set(name, f))
		}
	}
	t.AddChain("services", nil, translation(s)...)
	t.AddChain("prerouting", &nft.Base{Type: "nat", Hook: "prerouting", Priority: -100}, nft.NewRule(nft.Jump("services")))
	t.AddChain("output", &nft.Base{Type: "nat", Hook: "output", Priority: -100}, nft.NewRule(nft.Jump("services")))
	t.AddChain("postrouting", &nft.Base{Type: "nat", Hook: "postrouting", Priority: 98}, source(node)...)
	t.AddChain("refuse", nil, refusals(s)...)
	// Ahead of other filters: what is refused here must not be answered differently by a rule for the node's own addresses.
	t.AddChain("filter-input", &nft.Base{Type: "filter", Hook: "input", Priority: -5}, inbound()...)
	for _, hook := range []string{"forward", "output"} {
		t.AddChain("filter-"+hook, &nft.Base{Type: "filter", Hook: hook, Priority: -5}, nft.NewRule(nft.Jump("refuse")))
	}
	return t
}

// translation looks a new connection up: by service address, then by port on the node's own addresses.
func translation(s Settings) []nft.Rule {
	var rules []nft.Rule
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		for _, ip := range s.LocalIPs {
			if nft.FamilyOf(ip) == f {
				rules = append(rules, nft.NewRule(nft.IsFamily(f), nft.Within(f.Daddr(), single(ip)), nft.Return()))
			}
		}
		// Who is not a pod would be answered by the endpoint directly, past this node: its address goes into the packet.
		for _, c := range f.Of(s.ServiceCIDRs) {
			parts := []nft.Part{nft.IsFamily(f), nft.Within(f.Daddr(), c)}
			for _, pods := range f.Of(s.ClusterCIDRs) {
				if !s.MasqueradeAll {
					parts = append(parts, nft.NotWithin(f.Saddr(), pods))
				}
			}
			rules = append(rules, nft.NewRule(append(parts, nft.SetMark(MasqueradeMark))...))
		}
		rules = append(rules,
			nft.NewRule(nft.IsFamily(f), nft.VerdictMap(setServices+f.Suffix(), f.Daddr(), nft.L4Proto(), nft.Dport())))
	}
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		parts := []nft.Part{nft.IsFamily(f), nft.DaddrLocal()}
		if f == nft.IP6 {
			// IPv6 has no route_localnet: what was sent to ::1 could not leave the loopback.
			parts = append(parts, nft.NotWithin(f.Daddr(), single(netip.IPv6Loopback())))
		}
		parts = append(parts, nft.VerdictMap(setNodePorts+f.Suffix(), nft.L4Proto(), nft.Dport()))
		rules = append(rules, nft.NewRule(parts...))
	}
	return rules
}

// source gives marked connections and those of an endpoint to itself this node's address. The mark ends here: a tunnel's outer
// packet would inherit it.
func source(node Node) []nft.Rule {
	var rules []nft.Rule
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		give := nft.Masquerade()
		for _, ip := range node.IPs {
			if nft.FamilyOf(ip) == f {
				give = nft.SNAT(ip)
				break
			}
		}
		rules = append(rules,
			nft.NewRule(nft.Translated(), nft.IsFamily(f), nft.In(setHairpin+f.Suffix(), f.Saddr(), f.Daddr()), give),
			nft.NewRule(nft.IsFamily(f), nft.HasMark(MasqueradeMark), nft.ClearMark(MasqueradeMark), nft.Translated(), give))
	}
	return rules
}

// inbound guards what this machine takes for itself.
func inbound() []nft.Rule {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	rules := []nft.Rule{
		// route_localnet lets the node's loopback be reached through node ports; nobody outside may use it.
		nft.NewRule(nft.IsFamily(nft.IP), nft.Within(nft.IP.Daddr(), loopback), nft.InterfaceIsNot(true, "lo"),
			nft.IsNew(), nft.Drop()),
	}
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		key := []nft.Field{nft.L4Proto(), nft.Dport()}
		rules = append(rules,
			nft.NewRule(nft.IsNew(), nft.IsFamily(f), nft.DaddrLocal(), nft.In(setNodeReject+f.Suffix(), key...),
				nft.IsProto(6), nft.RejectReset()),
			nft.NewRule(nft.IsNew(), nft.IsFamily(f), nft.DaddrLocal(), nft.In(setNodeReject+f.Suffix(), key...), nft.Reject()))
	}
	return append(rules, nft.NewRule(nft.Jump("refuse")))
}

// refusals answer for addresses of services that were not translated: no endpoints, no such port, no such service. Nothing of
// the service ranges goes anywhere else, packets in the middle of a lost connection neither: the route to the loopback would
// send them in circles.
func refusals(s Settings) []nft.Rule {
	var rules []nft.Rule
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		key := []nft.Field{f.Daddr(), nft.L4Proto(), nft.Dport()}
		for _, ip := range s.LocalIPs {
			if nft.FamilyOf(ip) == f {
				rules = append(rules, nft.NewRule(nft.IsFamily(f), nft.Within(f.Daddr(), single(ip)), nft.Return()))
			}
		}
		rules = append(rules,
			nft.NewRule(nft.IsNew(), nft.IsFamily(f), nft.In(setDrop+f.Suffix(), key...), nft.Drop()),
			nft.NewRule(nft.IsNew(), nft.IsFamily(f), nft.In(setReject+f.Suffix(), key...), nft.IsProto(6), nft.RejectReset()),
			nft.NewRule(nft.IsNew(), nft.IsFamily(f), nft.In(setReject+f.Suffix(), key...), nft.Reject()))
		for _, c := range f.Of(s.ServiceCIDRs) {
			rules = append(rules,
				nft.NewRule(nft.IsFamily(f), nft.Within(f.Daddr(), c), nft.IsProto(6), nft.RejectReset()),
				nft.NewRule(nft.IsFamily(f), nft.Within(f.Daddr(), c), nft.Reject()))
		}
	}
	return rules
}

func single(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()) }
