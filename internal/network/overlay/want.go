package overlay

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Settings are what a node's network looks like apart from its peers.
type Settings struct {
	NodeName     string
	NodeIPs      []netip.Addr // the node's internal addresses, at most one per family
	ClusterCIDRs []netip.Prefix
	ServiceCIDRs []netip.Prefix
	// LocalIPs are service addresses that this node answers itself (the cluster's DNS).
	LocalIPs []netip.Addr
	Mode     Mode
	// NoPeers leaves the routes between nodes to someone else; service addresses and sysctls are still kept.
	NoPeers bool
	// NoMasquerade lets pods leave the cluster with their own addresses.
	NoMasquerade bool
	Device       string // name of the VXLAN device
	VNI          int
	Port         int // UDP port of VXLAN
	MTU          int // of the VXLAN device; 0 means the uplink's less the overhead
}

// WithDefaults fills what is zero: mode auto, device coracle.vxlan, VNI 4242, port 8472 (Linux' own default).
func (s Settings) WithDefaults() Settings {
	s.Mode = cmp.Or(s.Mode, Auto)
	s.Device = cmp.Or(s.Device, "coracle.vxlan")
	s.VNI = cmp.Or(s.VNI, 4242)
	s.Port = cmp.Or(s.Port, 8472)
	return s
}

// Want decides the state a node should have. Pure. Peers may contain the node itself.
func Want(s Settings, peers []Peer, links []Link) State {
	w := wanting{s: s, links: links, taken: map[netip.Prefix]string{}}
	w.Addrs = s.LocalIPs
	w.Sysctls = sysctls(s)
	for _, p := range s.ServiceCIDRs {
		w.serviceRange(p)
	}
	if s.NoPeers {
		return w.State
	}
	for _, p := range s.ClusterCIDRs {
		w.Routes = append(w.Routes, Route{Dst: p.Masked(), Type: Unreachable})
	}
	peers = slices.SortedFunc(slices.Values(peers), func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range peers {
		if p.Name != s.NodeName {
			w.peer(p)
		}
	}
	if s.Mode == VXLAN && w.Device == nil {
		w.needDevice() // made in advance: its first use costs nothing then
	}
	return w.State
}

type wanting struct {
	State
	s     Settings
	links []Link
	taken map[netip.Prefix]string
}

// serviceRange routes service addresses to the loopback, where the proxy rejects what it did not translate. A route must exist
// for the node's own connections (routing comes before translation), and unreachable would refuse them. The kernel takes an
// IPv6 route to the loopback as unreachable, so there it is a local one.
func (w *wanting) serviceRange(p netip.Prefix) {
	r := Route{Dst: p.Masked(), Type: Unicast, Device: "lo", Src: w.nodeIP(p.Addr().Is4())}
	if p.Addr().Is6() {
		r.Type = Local
	}
	w.Routes = append(w.Routes, r)
}

// nodeIP is the node's address as the source of routes: only one that this machine really has will do.
func (w *wanting) nodeIP(v4 bool) netip.Addr {
	ip := ofFamily(w.s.NodeIPs, v4)
	for _, l := range w.links {
		for _, p := range l.Prefixes {
			if p.Addr() == ip {
				return ip
			}
		}
	}
	return netip.Addr{}
}

func ofFamily(ips []netip.Addr, v4 bool) netip.Addr {
	for _, ip := range ips {
		if ip.Is4() == v4 {
			return ip
		}
	}
	return netip.Addr{}
}

func (w *wanting) problem(p Peer, format string, args ...any) {
	w.Problems = append(w.Problems, fmt.Sprintf("node %s: ", p.Name)+fmt.Sprintf(format, args...))
}

func (w *wanting) peer(p Peer) {
	for _, cidr := range p.PodCIDRs {
		cidr = cidr.Masked()
		inside := slices.ContainsFunc(w.s.ClusterCIDRs, func(c netip.Prefix) bool {
			return c.Overlaps(cidr) && c.Bits() <= cidr.Bits()
		})
		switch other, dup := w.taken[cidr]; {
		case len(w.s.ClusterCIDRs) > 0 && !inside:
			w.problem(p, "pod range %s is outside of the cluster's ranges", cidr)
			continue
		case dup:
			w.problem(p, "pod range %s belongs to node %s too", cidr, other)
			continue
		}
		w.taken[cidr] = p.Name
		w.route(p, cidr)
	}
}

// route decides how one range of a peer is reached.
func (w *wanting) route(p Peer, cidr netip.Prefix) {
	v4 := cidr.Addr().Is4()
	src := w.nodeIP(v4)
	if w.s.Mode != VXLAN {
		if ip := ofFamily(p.IPs, v4); ip.IsValid() {
			if dev := w.sharedLink(ip); dev != "" {
				w.Routes = append(w.Routes, Route{Dst: cidr, Type: Unicast, Device: dev, Via: ip, Src: src})
				return
			}
		}
		if w.s.Mode == Direct {
			w.problem(p, "none of its addresses %v shares a link with this node, which mode direct needs for %s", p.IPs, cidr)
			return
		}
	}
	if !w.needDevice() {
		w.problem(p, "this node has no internal address to encapsulate from")
		return
	}
	outer := ofFamily(p.IPs, w.Device.Local.Is4())
	if !outer.IsValid() {
		w.problem(p, "has no internal address of this node's family, addresses %v", p.IPs)
		return
	}
	mac := macOf(outer)
	gw := ofFamily(p.IPs, v4)
	if !gw.IsValid() {
		gw = gatewayFor(mac, v4)
	}
	w.Routes = append(w.Routes, Route{Dst: cidr, Type: Unicast, Device: w.s.Device, Via: gw, OnLink: true, Src: src})
	w.Neighbours = appendNew(w.Neighbours, Neighbour{gw, mac})
	w.Forwards = appendNew(w.Forwards, Forward{mac, outer})
}

func appendNew[T comparable](s []T, v T) []T {
	if slices.Contains(s, v) {
		return s
	}
	return append(s, v)
}

// sharedLink returns the interface that has the address on its own network.
func (w *wanting) sharedLink(ip netip.Addr) string {
	best, bits := "", -1
	for _, l := range w.links {
		if !l.Up || l.Name == w.s.Device || l.Name == "lo" {
			continue
		}
		for _, p := range l.Prefixes {
			if !p.IsSingleIP() && p.Bits() > bits && p.Masked().Contains(ip) {
				best, bits = l.Name, p.Bits()
			}
		}
	}
	return best
}

func (w *wanting) needDevice() bool {
	if w.Device != nil {
		return true
	}
	if len(w.s.NodeIPs) == 0 {
		return false
	}
	local := w.s.NodeIPs[0]
	w.Device = &Device{
		Name: w.s.Device, VNI: w.s.VNI, Port: w.s.Port, Local: local, MAC: macOf(local), MTU: w.s.MTU, Up: true,
		Addr: ofFamily(w.s.NodeIPs, true),
	}
	if w.Device.MTU == 0 {
		w.Device.MTU = MTU(VXLAN, local, w.links)
	}
	return true
}

// MTU returns the MTU of pods (and of the VXLAN device) for a mode, given the node's address and links. In mode auto any later
// peer may need encapsulation, so there is room left for it.
func MTU(mode Mode, nodeIP netip.Addr, links []Link) int {
	mtu := 0
	for _, l := range links {
		for _, p := range l.Prefixes {
			// The VXLAN device has the address too, and always the smaller MTU.
			if p.Addr() == nodeIP && l.Name != "lo" {
				mtu = max(mtu, l.MTU)
			}
		}
	}
	mtu = cmp.Or(mtu, 1500)
	switch {
	case mode == Direct:
		return mtu
	case nodeIP.Is6():
		return mtu - Overhead - 20
	}
	return mtu - Overhead
}

// macOf derives a node's hardware address within the overlay from its internal address, so that peers know it without asking.
func macOf(ip netip.Addr) MAC {
	sum := sha256.Sum256([]byte("coracle vxlan " + ip.Unmap().String()))
	return MAC{macPrefix[0], macPrefix[1], sum[0], sum[1], sum[2], sum[3]}
}

// macPrefix begins our nodes' hardware addresses: locally administered, and told from the kernel's own entries by it.
const macPrefix = "\x02\xc0"

// gatewayFor makes up a gateway for a family in which the peer has no address: a link-local one, known on this device only.
func gatewayFor(m MAC, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{169, 254, m[4], m[5]})
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// sysctls are the kernel settings of a node. All are per network namespace. Those that a kernel lacks are passed over.
func sysctls(s Settings) []Sysctl {
	out := []Sysctl{
		{"net/ipv4/ip_forward", "1"},
		// Answers may come back by another interface than the one that the strict check expects: 2 is the loose check.
		{"net/ipv4/conf/all/rp_filter", "2"},
		// Lets 127.0.0.1:nodePort be translated. The proxy drops what comes to 127.0.0.0/8 from outside.
		{"net/ipv4/conf/all/route_localnet", "1"},
		// Bridged traffic (another CNI's, or the machine's own bridges) must meet the same rules as routed traffic.
		{"net/bridge/bridge-nf-call-iptables", "1"},
		{"net/bridge/bridge-nf-call-ip6tables", "1"},
		// A day instead of five: dead connections must not fill the table.
		{"net/netfilter/nf_conntrack_tcp_timeout_established", "86400"},
		{"net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600"},
	}
	for _, p := range slices.Concat(s.ClusterCIDRs, s.ServiceCIDRs) {
		if p.Addr().Is6() {
			return append(out, Sysctl{"net/ipv6/conf/all/forwarding", "1"})
		}
	}
	return out
}

// String renders a state as sorted lines, for golden files.
func (s State) String() string {
	var lines []string
	if s.Device != nil {
		lines = append(lines, "device "+s.Device.String())
	}
	for _, r := range s.Routes {
		lines = append(lines, "route "+r.String())
	}
	for _, n := range s.Neighbours {
		lines = append(lines, "neighbour "+n.String())
	}
	for _, f := range s.Forwards {
		lines = append(lines, "forward "+f.String())
	}
	for _, a := range s.Addrs {
		lines = append(lines, "address "+a.String())
	}
	for _, c := range s.Sysctls {
		lines = append(lines, "sysctl "+c.Key+" = "+c.Value)
	}
	for _, p := range s.Problems {
		lines = append(lines, "problem: "+p)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
