package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/nft"
)

func kubeNode(name, ip string, cidrs ...string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDRs: cidrs},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}},
	}
}

// start runs an overlay in the namespace until the test ends, and waits until it is ready.
func start(t *testing.T, ns *nettest.NS, c *nettest.Client, s Settings) {
	t.Helper()
	o, err := New(s, c, slog.New(slog.DiscardHandler), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ns.Run(func() error { return o.Run(ctx) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("overlay ended with %v", err)
		}
	})
	select {
	case <-o.Ready():
	case err := <-done:
		t.Fatalf("overlay ended: %v", err)
	}
}

func twoNodes(t *testing.T, mode Mode) (nodes, pods [2]*nettest.NS) {
	nettest.RequireRoot(t)
	a, b := nettest.NewNS(t), nettest.NewNS(t)
	nettest.Join(t, a, "eth0", "192.168.9.1/24", b, "eth0", "192.168.9.2/24")
	c := nettest.NewClient()
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1", "10.42.0.0/24", "fd42:0:0:0::/64"),
		kubeNode("b", "192.168.9.2", "10.42.1.0/24", "fd42:0:0:1::/64"))
	for i, ns := range []*nettest.NS{a, b} {
		start(t, ns, c, Settings{
			NodeName: string(rune('a' + i)), NodeIPs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.168.9.%d", i+1))},
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd42::/48")},
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16"), netip.MustParsePrefix("fd43::/112")},
			LocalIPs:     []netip.Addr{netip.MustParseAddr("10.43.0.10"), netip.MustParseAddr("fd43::a")},
			Mode:         mode,
		})
	}
	return [2]*nettest.NS{a, b}, [2]*nettest.NS{nettest.Pod(t, a, "a4", "10.42.0.5"), nettest.Pod(t, b, "b4", "10.42.1.5")}
}

func TestPodsOfTwoNodes(t *testing.T) {
	for _, mode := range []Mode{Direct, VXLAN, Auto} {
		t.Run(string(mode), func(t *testing.T) {
			nodes, pods := twoNodes(t, mode)
			nettest.Serve(t, pods[1], "0.0.0.0:80", "")
			nettest.Serve(t, nodes[1], "192.168.9.2:80", "")
			for _, c := range []struct {
				name string
				from *nettest.NS
				to   string
				want string
			}{
				{"pod to pod", pods[0], "10.42.1.5:80", "from 10.42.0.5"},
				{"node to pod", nodes[0], "10.42.1.5:80", "from 192.168.9.1"},
				{"pod to node keeps its address", pods[0], "192.168.9.2:80", "from 10.42.0.5"},
			} {
				if got, err := nettest.Fetch(c.from, c.to); err != nil || got != c.want {
					t.Errorf("%s: got %q %v, want %q", c.name, got, err, c.want)
				}
			}
		})
	}
}

func TestIPv6OverIPv4(t *testing.T) {
	nodes, _ := twoNodes(t, Auto)
	a, b := nettest.Pod(t, nodes[0], "a6", "fd42::5"), nettest.Pod(t, nodes[1], "b6", "fd42:0:0:1::5")
	nettest.Serve(t, b, "[::]:80", "")
	if got, err := nettest.Fetch(a, "[fd42:0:0:1::5]:80"); err != nil || got != "from fd42::5" {
		t.Errorf("got %q %v", got, err)
	}
}

func TestNothingLeaks(t *testing.T) {
	nodes, pods := twoNodes(t, Auto)
	nodes[0].Do(t, func() error { // a default route, as machines have
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.IPv4(192, 168, 9, 2), Dst: ipNet(
			netip.MustParsePrefix("0.0.0.0/0"))})
	})
	_, err := nettest.Fetch(pods[0], "10.42.200.1:80")
	if !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("a pod address that no node has: got %v, want unreachable", err)
	}
	nodes[0].Do(t, func() error {
		r, err := netlink.RouteGet(net.IPv4(10, 43, 7, 7))
		if err != nil || len(r) != 1 {
			return fmt.Errorf("routing a service address: %v %w", r, err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if r[0].LinkIndex != lo.Attrs().Index || !r[0].Src.Equal(net.IPv4(192, 168, 9, 1)) {
			t.Errorf("service addresses are routed %s", r[0])
		}
		return nil
	})
}

func TestPodsLeaveWithTheNodesAddress(t *testing.T) {
	nodes, pods := twoNodes(t, Auto)
	outside := nettest.NewNS(t)
	nettest.Join(t, nodes[0], "wan", "203.0.113.1/24", outside, "eth0", "203.0.113.9/24")
	nettest.Serve(t, outside, "203.0.113.9:80", "")
	if got, err := nettest.Fetch(pods[0], "203.0.113.9:80"); err != nil || got != "from 203.0.113.1" {
		t.Errorf("got %q %v", got, err)
	}
}

// TestDriftIsRepaired removes what the overlay made, piece by piece. Each fetch waits for the repair by its own retransmission.
func TestDriftIsRepaired(t *testing.T) {
	nodes, pods := twoNodes(t, VXLAN)
	nettest.Serve(t, pods[1], "0.0.0.0:80", "")
	s := Settings{}.WithDefaults()
	damages := map[string]func() error{
		"device": func() error {
			l, err := netlink.LinkByName(s.Device)
			if err != nil {
				return err
			}
			return netlink.LinkDel(l)
		},
		"device down": func() error {
			l, err := netlink.LinkByName(s.Device)
			if err != nil {
				return err
			}
			return netlink.LinkSetDown(l)
		},
		"route": func() error {
			return netlink.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.42.1.0/24"))})
		},
		"neighbour": func() error {
			l, err := netlink.LinkByName(s.Device)
			if err != nil {
				return err
			}
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: net.IPv4(192, 168, 9, 2)})
		},
		"forward": func() error {
			l, err := netlink.LinkByName(s.Device)
			if err != nil {
				return err
			}
			mac := macOf(netip.MustParseAddr("192.168.9.2"))
			return netlink.NeighDel(&netlink.Neigh{
				LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF,
				IP: net.IPv4(192, 168, 9, 2), HardwareAddr: mac[:],
			})
		},
		"ruleset": func() error {
			c, err := nft.Open()
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			return c.Delete(Table)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			nettest.WaitFor(t, nodes[0], func() error { return complete(s.Device) })
			nodes[0].Do(t, damage)
			nettest.WaitFor(t, nodes[0], func() error { return complete(s.Device) })
			if got, err := nettest.Fetch(pods[0], "10.42.1.5:80"); err != nil || got != "from 10.42.0.5" {
				t.Errorf("got %q %v", got, err)
			}
		})
	}
}

// complete tells what is missing on node a.
func complete(device string) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	st, err := k.read(Settings{Device: device}, State{})
	if err != nil {
		return err
	}
	if st.Device == nil || !st.Device.Up || len(st.Routes) != 6 || len(st.Neighbours) != 2 || len(st.Forwards) != 1 {
		return fmt.Errorf("incomplete:\n%s", st)
	}
	c, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	got, err := c.Elements(Table, nft.Set{Name: "nodes4", Key: []nft.Type{nft.IPv4}})
	if err != nil || len(got) != 2 {
		return fmt.Errorf("table: %v %w", got, err)
	}
	return nil
}
