package proxy

import (
	"fmt"
	"time"

	"coracle.dev/coracle/internal/network/nft"
)

// shape is everything that the choice of an endpoint depends on apart from the addresses themselves, which are in maps. Services
// of the same shape share their chains: their number does not grow with the number of services.
type shape struct {
	f nft.Family
	// node: keyed by protocol and port on the node's own addresses.
	node bool
	// mark: the client's address is replaced by the node's.
	mark bool
	// all is the number of endpoints, local of those on this node. Local ones matter for split shapes only; they follow the
	// others in the endpoints' numbering.
	all, local int
	// split: strangers keep their address and get a local endpoint, pods and the node itself get any.
	split bool
	// timeout is how long clients are remembered; 0 for not at all.
	timeout time.Duration
}

// sets are the names of the sets that a shape works with.
type sets struct {
	services, endpoints, affinity, reject string
}

func (s shape) sets() sets {
	if s.node {
		return sets{setNodePorts, setNodeEndpts, setNodeAffinity, setNodeReject}
	}
	return sets{setServices, setEndpoints, setAffinity, setReject}
}

// key is what the shape's addresses are looked up by.
func (s shape) key(more ...nft.Field) []nft.Field {
	if s.node {
		return append([]nft.Field{nft.L4Proto(), nft.Dport()}, more...)
	}
	return append([]nft.Field{s.f.Daddr(), nft.L4Proto(), nft.Dport()}, more...)
}

// name is the name of the chain that connections of this shape enter, such as mark/ip/3 or split/ip/node/3/1/10800.
func (s shape) name() string {
	kind := "pick"
	switch {
	case s.split:
		kind = "split"
	case s.mark:
		kind = "mark"
	}
	return kind + s.suffix(s.all, s.split)
}

func (s shape) suffix(n int, local bool) string {
	out := "/" + s.f.String()
	if s.node {
		out += "/node"
	}
	out += fmt.Sprintf("/%d", n)
	if local {
		out += fmt.Sprintf("/%d", s.local)
	}
	if s.timeout > 0 {
		out += fmt.Sprintf("/%ds", int(s.timeout/time.Second))
	}
	return out
}

// claim adds the shape's chains to a fragment.
func (s shape) claim(f *nft.Fragment, settings Settings) {
	if f.Has(s.name()) {
		return
	}
	pick := "pick" + s.suffix(s.all, false)
	if s.all > 0 && !f.Has(pick) {
		f.Chain(pick, s.choose(s.all, 0)...)
	}
	mark := "mark" + s.suffix(s.all, false)
	if s.mark && s.all > 0 && !f.Has(mark) {
		f.Chain(mark, nft.NewRule(nft.SetMark(MasqueradeMark)), nft.NewRule(nft.Goto(pick)))
	}
	if !s.split {
		return
	}
	var rules []nft.Rule
	if s.all > 0 {
		for _, pods := range s.f.Of(settings.ClusterCIDRs) {
			rules = append(rules, nft.NewRule(nft.Within(s.f.Saddr(), pods), nft.Goto(pick)))
		}
		rules = append(rules, nft.NewRule(nft.SaddrLocal(), nft.Goto(mark)))
	}
	if s.local > 0 {
		rules = append(rules, s.choose(s.local, s.all)...)
	} else {
		rules = append(rules, nft.NewRule(nft.Drop()))
	}
	f.Chain(s.name(), rules...)
}

// choose are the rules that send a connection to one of n endpoints, numbered from first. A client that is remembered goes where
// it went before. (The nft command up to 1.0.6 cannot print the rules that remember; the kernel and this program can.)
func (s shape) choose(n, first int) []nft.Rule {
	suffix := s.f.Suffix()
	// The chain is entered by one family only. Saying so lets the nft command print addresses as such.
	family := nft.IsFamily(s.f)
	endpoint := nft.Find(s.sets().endpoints+suffix, s.key(nft.Random(uint32(n), uint32(first)))...)
	pick := nft.NewRule(family, endpoint, nft.DNAT(s.f))
	if s.timeout == 0 {
		return []nft.Rule{pick}
	}
	clients := s.sets().affinity + suffix
	remember := nft.Remember(clients, s.timeout, s.key(s.f.Saddr())...)
	return []nft.Rule{
		nft.NewRule(family, nft.Find(clients, s.key(s.f.Saddr())...), remember, nft.DNAT(s.f)),
		nft.NewRule(family, endpoint, remember, nft.DNAT(s.f)),
		pick, // when the memory is full
	}
}
