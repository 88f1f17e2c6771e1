package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel reads and changes the state of the network namespace of the thread that made it. Sysctls are those of the calling
// thread's namespace.
type kernel struct {
	h *netlink.Handle
}

func openKernel() (*kernel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return &kernel{h}, nil
}

// dumpAttempts bounds how often a listing is begun anew because the kernel's tables changed during it.
const dumpAttempts = 20

// whole lists again until nothing changed meanwhile: an interrupted listing may lack entries, and many pods that start at once
// interrupt a few in a row.
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range dumpAttempts {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

func (k *kernel) close() { k.h.Close() }

// links lists the interfaces with their addresses.
func (k *kernel) links() ([]Link, error) {
	all, err := whole(k.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	addrs, err := whole(func() ([]netlink.Addr, error) { return k.h.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	byIndex := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			byIndex[a.LinkIndex] = append(byIndex[a.LinkIndex], p)
		}
	}
	out := make([]Link, 0, len(all))
	for _, l := range all {
		a := l.Attrs()
		out = append(out, Link{Name: a.Name, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Prefixes: byIndex[a.Index]})
	}
	return out, nil
}

// read returns the actual state: our routes, our device with its entries, the loopback's addresses within the service ranges,
// and the sysctls that want names.
func (k *kernel) read(s Settings, want State) (State, error) {
	var st State
	if err := k.readDevice(s, &st); err != nil {
		return st, err
	}
	if err := k.readRoutes(&st); err != nil {
		return st, err
	}
	if err := k.readAddrs(s, &st); err != nil {
		return st, err
	}
	for _, c := range want.Sysctls {
		b, err := os.ReadFile(filepath.Join("/proc/sys", c.Key))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return st, fmt.Errorf("reading sysctl: %w", err)
		}
		st.Sysctls = append(st.Sysctls, Sysctl{c.Key, strings.TrimSpace(string(b))})
	}
	return st, nil
}

func (k *kernel) readDevice(s Settings, st *State) error {
	link, err := k.h.LinkByName(s.Device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding %s: %w", s.Device, err)
	}
	a := link.Attrs()
	st.Device = &Device{Name: a.Name, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
	copy(st.Device.MAC[:], a.HardwareAddr)
	if v, ok := link.(*netlink.Vxlan); ok && !v.Learning {
		st.Device.VNI, st.Device.Port = v.VxlanId, v.Port
		if ip, ok := netip.AddrFromSlice(v.SrcAddr); ok {
			st.Device.Local = ip.Unmap()
		}
	}
	addrs, err := whole(func() ([]netlink.Addr, error) { return k.h.AddrList(link, unix.AF_INET) })
	if err != nil {
		return fmt.Errorf("listing addresses of %s: %w", s.Device, err)
	}
	for _, addr := range addrs {
		if p, ok := prefixOf(addr.IPNet); ok && p.IsSingleIP() {
			st.Device.Addr = p.Addr()
		}
	}
	return k.readEntries(a.Index, st)
}

func (k *kernel) readEntries(index int, st *State) error {
	fdb, err := whole(func() ([]netlink.Neigh, error) { return k.h.NeighList(index, unix.AF_BRIDGE) })
	if err != nil {
		return fmt.Errorf("listing forwarding entries: %w", err)
	}
	for _, n := range fdb {
		if mac, ip, ok := ourEntry(n); ok {
			st.Forwards = append(st.Forwards, Forward{mac, ip})
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		neighbours, err := whole(func() ([]netlink.Neigh, error) { return k.h.NeighList(index, family) })
		if err != nil {
			return fmt.Errorf("listing neighbours: %w", err)
		}
		for _, n := range neighbours {
			if mac, ip, ok := ourEntry(n); ok && n.State&netlink.NUD_PERMANENT != 0 {
				st.Neighbours = append(st.Neighbours, Neighbour{ip, mac})
			}
		}
	}
	return nil
}

func ourEntry(n netlink.Neigh) (mac MAC, ip netip.Addr, ok bool) {
	if len(n.HardwareAddr) != len(mac) || string(n.HardwareAddr[:2]) != macPrefix {
		return mac, ip, false
	}
	copy(mac[:], n.HardwareAddr)
	ip, ok = netip.AddrFromSlice(n.IP)
	return mac, ip.Unmap(), ok
}

func (k *kernel) readRoutes(st *State) error {
	routes, err := whole(func() ([]netlink.Route, error) {
		return k.h.RouteListFiltered(unix.AF_UNSPEC, &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_MAIN},
			netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	names := map[int]string{}
	for _, r := range routes {
		dst, ok := prefixOf(r.Dst)
		if !ok || r.Priority != Metric {
			continue
		}
		out := Route{Dst: dst, Type: Unicast, OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0}
		switch r.Type {
		case unix.RTN_UNREACHABLE:
			out.Type = Unreachable
		case unix.RTN_LOCAL:
			out.Type = Local
		}
		if via, ok := netip.AddrFromSlice(r.Gw); ok {
			out.Via = via.Unmap()
		}
		if src, ok := netip.AddrFromSlice(r.Src); ok {
			out.Src = src.Unmap()
		}
		if out.Type != Unreachable { // IPv6 names the loopback there
			if out.Device, err = k.linkName(names, r.LinkIndex); err != nil {
				return err
			}
		}
		st.Routes = append(st.Routes, out)
	}
	return nil
}

func (k *kernel) linkName(names map[int]string, index int) (string, error) {
	if name, ok := names[index]; ok {
		return name, nil
	}
	link, err := k.h.LinkByIndex(index)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return "", nil // it went away since, and its routes with it
	}
	if err != nil {
		return "", fmt.Errorf("finding interface %d: %w", index, err)
	}
	names[index] = link.Attrs().Name
	return names[index], nil
}

func (k *kernel) readAddrs(s Settings, st *State) error {
	lo, err := k.h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback: %w", err)
	}
	addrs, err := whole(func() ([]netlink.Addr, error) { return k.h.AddrList(lo, unix.AF_UNSPEC) })
	if err != nil {
		return fmt.Errorf("listing the loopback's addresses: %w", err)
	}
	for _, a := range addrs {
		p, ok := prefixOf(a.IPNet)
		if !ok || !p.IsSingleIP() {
			continue
		}
		for _, c := range s.ServiceCIDRs {
			if c.Contains(p.Addr()) {
				st.Addrs = append(st.Addrs, p.Addr())
			}
		}
	}
	return nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}
