package nettest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Pod makes a namespace behind the node with a single address, routed as the CNI plugin does it.
func Pod(t testing.TB, node *NS, name, ip string) *NS {
	t.Helper()
	ns := NewNS(t)
	addr := netip.MustParseAddr(ip)
	gw := netip.MustParsePrefix("169.254.1.1/32")
	if addr.Is6() {
		gw = netip.MustParsePrefix("fe80::1/64")
	}
	Join(t, node, "cor"+name, gw.String(), ns, "eth0", netip.PrefixFrom(addr, addr.BitLen()).String())
	node.Do(t, func() error {
		l, err := netlink.LinkByName("cor" + name)
		if err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{
			LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())},
		})
	})
	ns.Do(t, func() error { return DefaultRoute("eth0", gw.Addr()) })
	return ns
}

// DefaultRoute routes everything of the gateway's family to it, in the calling thread's namespace.
func DefaultRoute(device string, gw netip.Addr) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	size := gw.BitLen() / 8
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: l.Attrs().Index, Gw: gw.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)},
	})
}

// Serve answers TCP connections to the address in the namespace with "NAME from CLIENT" ("from CLIENT" without a name).
func Serve(t testing.TB, ns *NS, addr, name string) {
	t.Helper()
	var l net.Listener
	ns.Do(t, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, greeting(name, c.RemoteAddr()))
			_ = c.Close()
		}
	}()
}

// ServeUDP answers every datagram as Serve answers connections.
func ServeUDP(t testing.TB, ns *NS, addr, name string) {
	t.Helper()
	var c net.PacketConn
	ns.Do(t, func() (err error) {
		c, err = net.ListenPacket("udp", addr)
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(greeting(name, from)), from)
		}
	}()
}

func greeting(name string, from net.Addr) string {
	host, _, _ := net.SplitHostPort(from.String())
	if name == "" {
		return "from " + host
	}
	return name + " from " + host
}

// patience bounds what never should take long: it only ends tests that would hang.
const patience = 20 * time.Second

// Fetch connects to a TCP address from within the namespace and returns what is answered.
func Fetch(ns *NS, addr string) (string, error) {
	var b []byte
	err := ns.Run(func() error {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		b, err = io.ReadAll(c)
		return err
	})
	return string(b), err
}

// WaitFor repeats a check in the namespace until it succeeds, and fails the test when it never does.
func WaitFor(t testing.TB, ns *NS, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := ns.Run(check)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(fmt.Errorf("gave up waiting: %w", err))
		case <-time.After(2 * time.Millisecond):
		}
	}
}
