package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"coracle.dev/coracle/internal/cluster/config"
)

// ErrNoAddress says that the machine has no address that other nodes could use.
var ErrNoAddress = errors.New("this machine has no usable address: give one with --node-ip")

// EnsureAddress fills in the node's address: that of the interface of the default route, else the first global one.
func EnsureAddress(a *config.Agent) error {
	if a.NodeIP.IsValid() {
		return nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing network interfaces: %w", err)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return fmt.Errorf("reading the default route: %w", err)
	}
	first := map[int]bool{}
	for _, r := range routes {
		first[r.LinkIndex] = true
	}
	for _, preferred := range []bool{true, false} {
		for _, link := range links {
			if first[link.Attrs().Index] != preferred {
				continue
			}
			if ip, ok := addressOf(link); ok {
				a.NodeIP = ip
				return nil
			}
		}
	}
	return ErrNoAddress
}

func addressOf(link netlink.Link) (netip.Addr, bool) {
	if link.Attrs().Flags&net.FlagUp == 0 || link.Attrs().Flags&net.FlagLoopback != 0 {
		return netip.Addr{}, false
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap().IsGlobalUnicast() {
			return ip.Unmap(), true
		}
	}
	return netip.Addr{}, false
}
