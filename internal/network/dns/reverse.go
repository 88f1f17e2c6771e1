package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// reverse answers names below in-addr.arpa and ip6.arpa for the zone's own ranges.
func reverse(v View, z Zone, q dns.Question, name string) Result {
	p, ok := reversePrefix(name)
	if !ok {
		return Result{Outside: true}
	}
	for _, own := range z.Reverse {
		if !own.Contains(p.Addr()) || p.Bits() < own.Bits() {
			continue
		}
		a := &answering{v: v, z: z, q: q, apex: reverseApex(own)}
		if !p.IsSingleIP() {
			// An inner node of the tree. Whether anything is below is not worth a search: saying yes denies nothing that exists.
			a.exists = true
			if name == a.apex {
				a.add(a.soa())
			}
			return a.finish()
		}
		for _, target := range v.Pointers(p.Addr()) {
			a.add(&dns.PTR{Hdr: a.header(q.Name, dns.TypePTR), Ptr: target + z.Domain})
		}
		return a.finish()
	}
	return Result{Outside: true}
}

// reversePrefix reads a reverse name: a whole address, or the prefix that an incomplete name stands for.
func reversePrefix(name string) (netip.Prefix, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		labels := strings.Split(rest, ".")
		if len(labels) > 4 {
			return netip.Prefix{}, false
		}
		var b [4]byte
		for i, l := range labels {
			n, err := strconv.ParseUint(l, 10, 8)
			if err != nil || strconv.FormatUint(n, 10) != l {
				return netip.Prefix{}, false
			}
			b[len(labels)-1-i] = byte(n)
		}
		return netip.PrefixFrom(netip.AddrFrom4(b), 8*len(labels)), true
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa.")
	labels := strings.Split(rest, ".")
	if !ok || len(labels) > 32 {
		return netip.Prefix{}, false
	}
	var b [16]byte
	for i, l := range labels {
		n, err := strconv.ParseUint(l, 16, 4)
		if err != nil || len(l) != 1 {
			return netip.Prefix{}, false
		}
		at := len(labels) - 1 - i
		b[at/2] |= byte(n) << (4 * (1 - at%2))
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 4*len(labels)), true
}

// reverseApex is the name of the smallest whole reverse zone that holds the range.
func reverseApex(p netip.Prefix) string {
	full, _ := dns.ReverseAddr(p.Masked().Addr().String()) // an address always has one
	step := 8
	if p.Addr().Is6() {
		step = 4
	}
	labels := dns.SplitDomainName(full)
	keep := p.Bits()/step + 2 // the range's labels and the two of the suffix
	return strings.Join(labels[len(labels)-min(keep, len(labels)):], ".") + "."
}
