package overlay

import (
	"fmt"
	"net"
	"net/netip"
)

// Mode says how traffic reaches other nodes.
type Mode string

// The modes.
const (
	// Auto routes directly where the peer shares a link with this node and encapsulates otherwise.
	Auto Mode = "auto"
	// Direct only ever routes directly. Peers behind a router stay unreachable.
	Direct Mode = "direct"
	// VXLAN always encapsulates.
	VXLAN Mode = "vxlan"
)

// Protocol marks our routes among the kernel's, so that ours can be told from others' and stale ones removed.
const Protocol = 67

// Metric of our routes. Not the default one: a route of the same range that someone else made is not overwritten.
const Metric = 50

// Overhead is what VXLAN adds to a packet over IPv4; over IPv6 it is 20 bytes more.
const Overhead = 50

// Peer is a node.
type Peer struct {
	Name     string
	IPs      []netip.Addr
	PodCIDRs []netip.Prefix
}

// Link is a network interface of this machine.
type Link struct {
	Name     string
	MTU      int
	Up       bool
	Prefixes []netip.Prefix // its addresses with their prefix lengths
}

// Route is a route in the main table. Via is invalid for routes to a link.
type Route struct {
	Dst    netip.Prefix
	Type   RouteType
	Device string // empty for Unreachable
	Via    netip.Addr
	OnLink bool
	Src    netip.Addr
}

// RouteType is what happens to packets on a route.
type RouteType string

// The types of routes.
const (
	Unicast     RouteType = "unicast"
	Unreachable RouteType = "unreachable"
	Local       RouteType = "local"
)

func (r Route) String() string {
	s := r.Dst.String()
	if r.Type != Unicast {
		s = string(r.Type) + " " + s
	}
	if r.Via.IsValid() {
		s += " via " + r.Via.String()
	}
	if r.Device != "" {
		s += " dev " + r.Device
	}
	if r.OnLink {
		s += " onlink"
	}
	if r.Src.IsValid() {
		s += " src " + r.Src.String()
	}
	return s
}

// MAC is a hardware address. Comparable.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Neighbour is a permanent neighbour entry on the VXLAN device.
type Neighbour struct {
	IP  netip.Addr
	MAC MAC
}

func (n Neighbour) String() string { return n.IP.String() + " lladdr " + n.MAC.String() }

// Forward is a forwarding entry of the VXLAN device: frames to the MAC go to the node at To.
type Forward struct {
	MAC MAC
	To  netip.Addr
}

func (f Forward) String() string { return f.MAC.String() + " dst " + f.To.String() }

// Device is the VXLAN device.
type Device struct {
	Name  string
	VNI   int
	Port  int
	Local netip.Addr
	MAC   MAC
	MTU   int
	// Addr is the node's IPv4 address once more: a device without any drops what fails the strict reverse path check, even
	// when the check is loose. It also is the source of what is masqueraded into the device. Invalid without IPv4.
	Addr netip.Addr
	Up   bool
}

func (d Device) String() string {
	return fmt.Sprintf("%s id %d port %d local %s mac %s mtu %d address %s nolearning",
		d.Name, d.VNI, d.Port, d.Local, d.MAC, d.MTU, d.Addr)
}

// Sysctl is a kernel setting, by its path below /proc/sys.
type Sysctl struct {
	Key, Value string
}

// State is a machine's network state, as far as this package cares: either wanted, or actual.
type State struct {
	Device     *Device
	Routes     []Route
	Neighbours []Neighbour
	Forwards   []Forward
	// Addrs are addresses on the loopback.
	Addrs   []netip.Addr
	Sysctls []Sysctl
	// Problems are peers that cannot be reached and why. Only in wanted states.
	Problems []string
}
