package cni

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/network/ipam"
)

// RouteProtocol marks the routes to this node's pods among the kernel's routes.
const RouteProtocol = 68

// hostMAC is the hardware address of every host side: pods know their gateway by it without asking.
func hostMAC() net.HardwareAddr { return net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee} }

// gateway is the address that pods of the family route through. It exists nowhere: the pod's neighbour entry leads to the peer.
func gateway(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
}

// podMAC derives the hardware address of a pod's interface from its address: a pod that comes back with the same address is the
// same neighbour.
func podMAC(ip netip.Addr) net.HardwareAddr {
	sum := ip.AsSlice()
	if !ip.Is4() {
		h := sha256.Sum256(sum)
		sum = h[:4]
	}
	return append(net.HardwareAddr{0x0a, 0x58}, sum[:4]...)
}

// hostName names the host side of a pod's interface.
func hostName(o ipam.Owner) string {
	sum := sha256.Sum256([]byte(o.ContainerID + "/" + o.Interface))
	return "cor" + hex.EncodeToString(sum[:])[:11]
}

func bare(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}
}

// openNS opens a namespace by path, or by an already open descriptor's path under /proc.
func openNS(path string) (netns.NsHandle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return netns.None(), fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	return ns, nil
}

// attachment is a pod's connection as decided: names, addresses, settings.
type attachment struct {
	owner ipam.Owner
	ips   []netip.Addr
	conf  Settings
}

// create makes the pair with its far end already in the pod, and configures both. On an error the pair is removed.
func (a attachment) create(ns netns.NsHandle) (err error) {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer host.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = hostName(a.owner), a.conf.MTU, hostMAC()
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = a.owner.Interface, netlink.NsFd(ns)
	veth.PeerHardwareAddr, veth.PeerMTU = podMAC(a.ips[0]), uint32(a.conf.MTU)
	err = host.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		// A crash between making the pair and answering leaves one behind. The runtime starts over with the same name.
		if err = removeLink(host, attrs.Name); err == nil {
			err = host.LinkAdd(veth)
		}
	}
	if err != nil {
		return fmt.Errorf("making interface %s in the pod: %w", a.owner.Interface, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeLink(host, attrs.Name))
		}
	}()
	link, err := host.LinkByName(attrs.Name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", attrs.Name, err)
	}
	if err := a.configurePod(ns); err != nil {
		return err
	}
	return a.configureHost(host, link)
}

// configurePod brings loopback and eth0 up and routes everything to the peer.
func (a attachment) configurePod(ns netns.NsHandle) error {
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in the pod: %w", err)
	}
	defer pod.Close()
	lo, err := pod.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the pod's loopback: %w", err)
	}
	if err := pod.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing the pod's loopback up: %w", err)
	}
	link, err := pod.LinkByName(a.owner.Interface)
	if err != nil {
		return fmt.Errorf("finding the pod's interface: %w", err)
	}
	for _, ip := range a.ips {
		addr := &netlink.Addr{IPNet: bare(ip)}
		if ip.Is6() {
			addr.Flags = unix.IFA_F_NODAD // nobody else can have it, and waiting for proof costs a second
		}
		if err := pod.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("giving the pod %s: %w", ip, err)
		}
	}
	if err := pod.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing the pod's interface up: %w", err)
	}
	for _, ip := range a.ips {
		if err := a.routePod(pod, link.Attrs().Index, ip); err != nil {
			return err
		}
	}
	return nil
}

func (a attachment) routePod(pod *netlink.Handle, index int, ip netip.Addr) error {
	gw := gateway(ip)
	err := pod.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: gw.AsSlice(), HardwareAddr: hostMAC(),
	})
	if err != nil {
		return fmt.Errorf("telling the pod its gateway: %w", err)
	}
	if ip.Is4() {
		err := pod.RouteReplace(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: bare(gw)})
		if err != nil {
			return fmt.Errorf("routing the pod's gateway: %w", err)
		}
	}
	any4or6 := &net.IPNet{IP: make(net.IP, ip.BitLen()/8), Mask: make(net.IPMask, ip.BitLen()/8)}
	err = pod.RouteReplace(&netlink.Route{LinkIndex: index, Dst: any4or6, Gw: gw.AsSlice(), Src: ip.AsSlice()})
	if err != nil {
		return fmt.Errorf("routing the pod: %w", err)
	}
	return nil
}

// configureHost routes the pod's addresses to the host side.
func (a attachment) configureHost(host *netlink.Handle, link netlink.Link) error {
	if err := host.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing %s up: %w", link.Attrs().Name, err)
	}
	for _, ip := range a.ips {
		err := host.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: podMAC(a.ips[0]),
		})
		if err != nil {
			return fmt.Errorf("noting the pod's neighbour entry: %w", err)
		}
		r := netlink.Route{
			LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: bare(ip), Protocol: RouteProtocol, Src: a.source(ip),
		}
		err = host.RouteReplace(&r)
		if errors.Is(err, unix.EINVAL) && r.Src != nil {
			r.Src = nil // the node's address may be known only outside (address translation): the kernel chooses
			err = host.RouteReplace(&r)
		}
		if err != nil {
			return fmt.Errorf("routing %s to the pod: %w", ip, err)
		}
	}
	return nil
}

// source is the node's address of the family, or nil.
func (a attachment) source(ip netip.Addr) net.IP {
	for _, n := range a.conf.NodeIPs {
		if n.Is4() == ip.Is4() {
			return n.AsSlice()
		}
	}
	return nil
}

// removeLink removes an interface and with it the routes and neighbours on it. A missing one is no error.
func removeLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing interface %s: %w", name, err)
	}
	return nil
}

// check compares the kernel's state with the attachment.
func (a attachment) check(ns netns.NsHandle) error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer host.Close()
	link, err := host.LinkByName(hostName(a.owner))
	if err != nil {
		return fmt.Errorf("the node's side of the pod's interface: %w", err)
	}
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in the pod: %w", err)
	}
	defer pod.Close()
	inner, err := pod.LinkByName(a.owner.Interface)
	if err != nil {
		return fmt.Errorf("the pod's interface: %w", err)
	}
	for _, l := range []netlink.Link{link, inner} {
		if l.Attrs().Flags&net.FlagUp == 0 {
			return fmt.Errorf("interface %s is down", l.Attrs().Name)
		}
	}
	for _, ip := range a.ips {
		if err := checkIP(host, pod, link, inner, ip); err != nil {
			return err
		}
	}
	return nil
}

func checkIP(host, pod *netlink.Handle, link, inner netlink.Link, ip netip.Addr) error {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	addrs, err := pod.AddrList(inner, family)
	if err != nil {
		return fmt.Errorf("listing the pod's addresses: %w", err)
	}
	found := false
	for _, a := range addrs {
		found = found || a.IP.Equal(ip.AsSlice())
	}
	if !found {
		return fmt.Errorf("the pod lacks its address %s", ip)
	}
	for _, side := range []struct {
		h    *netlink.Handle
		l    netlink.Link
		dst  net.IP
		what string
	}{{host, link, ip.AsSlice(), "to the pod"}, {pod, inner, elsewhere(ip), "from the pod"}} {
		routes, err := side.h.RouteGet(side.dst)
		if err != nil || len(routes) == 0 || routes[0].LinkIndex != side.l.Attrs().Index {
			return fmt.Errorf("the route %s is missing: %w", side.what, errors.Join(err, os.ErrNotExist))
		}
	}
	return nil
}

// elsewhere is some address outside of every pod (from the ranges for documentation).
func elsewhere(ip netip.Addr) net.IP {
	if ip.Is4() {
		return net.IPv4(192, 0, 2, 1)
	}
	return net.ParseIP("2001:db8::1")
}
