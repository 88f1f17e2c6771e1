package overlay

import (
	"coracle.dev/coracle/internal/network/nft"
)

// Table is the nftables table of this package.
const Table = "coracle-overlay"

// Egress decides the table that gives pods the node's address when they leave the cluster. Traffic to pods, services and nodes
// keeps its source. Pure.
func Egress(s Settings, peers []Peer) *nft.Table {
	t := nft.NewTable(Table)
	var rules []nft.Rule
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		nodes := "nodes" + f.Suffix()
		t.AddSet(nft.Set{Name: nodes, Key: []nft.Type{f.AddrType()}})
		inside := f.Of(s.ClusterCIDRs)
		if s.NoMasquerade || s.NoPeers {
			continue
		}
		for _, c := range inside {
			parts := []nft.Part{nft.IsFamily(f), nft.Within(f.Saddr(), c)}
			for _, d := range append(inside, f.Of(s.ServiceCIDRs)...) {
				parts = append(parts, nft.NotWithin(f.Daddr(), d))
			}
			parts = append(parts, nft.NotIn(nodes, f.Daddr()), nft.Masquerade())
			rules = append(rules, nft.NewRule(parts...))
		}
	}
	for _, p := range append(peers, Peer{IPs: s.NodeIPs}) {
		for _, ip := range p.IPs {
			t.Put("nodes"+nft.FamilyOf(ip).Suffix(), nft.Element{Key: nft.Tuple("").Addr(ip)})
		}
	}
	t.AddChain("postrouting", &nft.Base{Type: "nat", Hook: "postrouting", Priority: 100}, rules...)
	return t
}
