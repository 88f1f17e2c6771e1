package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// apply performs the steps in order. One that fails does not keep the others from being tried.
func (k *kernel) apply(ops []Op, device string) error {
	var errs []error
	for _, op := range ops {
		if err := k.applyOne(op, device); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, err))
		}
	}
	return errors.Join(errs...)
}

func (k *kernel) applyOne(op Op, device string) error {
	switch {
	case op.Sysctl != nil:
		err := os.WriteFile(filepath.Join("/proc/sys", op.Sysctl.Key), []byte(op.Sysctl.Value), 0)
		return err
	case op.Addr != nil:
		return k.applyAddr(*op.Addr, op.Remove)
	case op.Device != nil:
		return k.applyDevice(*op.Device, op.Remove)
	case op.Forward != nil:
		return k.applyNeigh(device, op.Remove, netlink.Neigh{
			Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
			IP: op.Forward.To.AsSlice(), HardwareAddr: op.Forward.MAC[:],
		})
	case op.Neighbour != nil:
		return k.applyNeigh(device, op.Remove, netlink.Neigh{
			State: netlink.NUD_PERMANENT, IP: op.Neighbour.IP.AsSlice(), HardwareAddr: op.Neighbour.MAC[:],
		})
	case op.Route != nil:
		return k.applyRoute(*op.Route, op.Remove)
	}
	return nil
}

func (k *kernel) applyAddr(ip netip.Addr, remove bool) error {
	lo, err := k.h.LinkByName("lo")
	if err != nil {
		return err
	}
	// Scope host: never chosen as a source for what leaves the machine, nor for masquerading.
	a := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(ip, ip.BitLen())), Scope: unix.RT_SCOPE_HOST}
	if ip.Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if remove {
		return ignore(k.h.AddrDel(lo, a), unix.EADDRNOTAVAIL)
	}
	return k.h.AddrReplace(lo, a)
}

func (k *kernel) applyDevice(d Device, remove bool) error {
	if remove {
		link, err := k.h.LinkByName(d.Name)
		if err != nil {
			return err
		}
		return k.h.LinkDel(link)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = d.Name, d.MTU, d.MAC[:]
	v := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: d.VNI, Port: d.Port, SrcAddr: d.Local.AsSlice(), Learning: false}
	if err := k.h.LinkAdd(v); err != nil {
		return err
	}
	link, err := k.h.LinkByName(d.Name)
	if err != nil {
		return err
	}
	if d.Addr.IsValid() {
		if err := k.h.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(d.Addr, d.Addr.BitLen()))}); err != nil {
			return err
		}
	}
	return k.h.LinkSetUp(link)
}

func (k *kernel) applyNeigh(device string, remove bool, n netlink.Neigh) error {
	link, err := k.h.LinkByName(device)
	if err != nil {
		return err
	}
	n.LinkIndex = link.Attrs().Index
	if remove {
		return ignore(k.h.NeighDel(&n), unix.ENOENT)
	}
	return k.h.NeighSet(&n)
}

func (k *kernel) applyRoute(r Route, remove bool) error {
	out := &netlink.Route{Dst: ipNet(r.Dst), Protocol: Protocol, Priority: Metric, Type: unix.RTN_UNICAST}
	switch r.Type {
	case Unreachable:
		out.Type = unix.RTN_UNREACHABLE
	case Local:
		out.Type, out.Table, out.Scope = unix.RTN_LOCAL, unix.RT_TABLE_MAIN, netlink.SCOPE_HOST
	case Unicast:
		if !r.Via.IsValid() {
			out.Scope = netlink.SCOPE_LINK
		}
	}
	if r.Device != "" {
		link, err := k.h.LinkByName(r.Device)
		if err != nil {
			return err
		}
		out.LinkIndex = link.Attrs().Index
	}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	if r.OnLink {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	if remove {
		return ignore(k.h.RouteDel(out), unix.ESRCH)
	}
	return k.h.RouteReplace(out)
}

func ignore(err error, harmless unix.Errno) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
