package overlay

import (
	"flag"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/network/nettest"
)

var _ = flag.Bool("rewrite", false, "bring golden files up to date")

func TestWant(t *testing.T) {
	nettest.Golden(t, func(t *testing.T, input func(string) []byte) string {
		var s Settings
		nettest.Decode(t, input("settings.yaml"), &s)
		var links []Link
		nettest.Decode(t, input("links.yaml"), &links)
		var peers []Peer
		for _, n := range nettest.Documents[corev1.Node](t, input("nodes.yaml")) {
			peers = append(peers, peerOf(n))
		}
		s = s.WithDefaults()
		return Want(s, peers, links).String() + Egress(s, peers).String()
	})
}

// pretend performs steps on a state value as the kernel would.
func pretend(s State, ops []Op) State {
	for _, op := range ops {
		switch {
		case op.Device != nil:
			s.Device = op.Device
			if op.Remove {
				s.Device, s.Neighbours, s.Forwards = nil, nil, nil
				s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r Route) bool { return r.Device == op.Device.Name })
			}
		case op.Route != nil:
			s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r Route) bool { return r.Dst == op.Route.Dst })
			if !op.Remove {
				s.Routes = append(s.Routes, *op.Route)
			}
		case op.Neighbour != nil:
			same := func(n Neighbour) bool { return n.IP == op.Neighbour.IP }
			s.Neighbours = slices.DeleteFunc(slices.Clone(s.Neighbours), same)
			if !op.Remove {
				s.Neighbours = append(s.Neighbours, *op.Neighbour)
			}
		case op.Forward != nil:
			s.Forwards = slices.DeleteFunc(slices.Clone(s.Forwards), func(f Forward) bool { return f == *op.Forward })
			if !op.Remove {
				s.Forwards = append(s.Forwards, *op.Forward)
			}
		case op.Addr != nil:
			s.Addrs = slices.DeleteFunc(slices.Clone(s.Addrs), func(a netip.Addr) bool { return a == *op.Addr })
			if !op.Remove {
				s.Addrs = append(s.Addrs, *op.Addr)
			}
		case op.Sysctl != nil:
			for i := range s.Sysctls {
				if s.Sysctls[i].Key == op.Sysctl.Key {
					s.Sysctls = slices.Clone(s.Sysctls)
					s.Sysctls[i] = *op.Sysctl
				}
			}
		}
	}
	return s
}

// TestPlanConverges draws two clusters: after the plan from the state of one to the state of the other nothing is left to do.
func TestPlanConverges(t *testing.T) {
	links := []Link{{Name: "eth0", MTU: 1500, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.9.1/24")}}}
	cluster := func(rt *rapid.T, label string) State {
		s := Settings{
			NodeName: "n0", NodeIPs: []netip.Addr{netip.MustParseAddr("192.168.9.1")},
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
			Mode:         rapid.SampledFrom([]Mode{Auto, Direct, VXLAN}).Draw(rt, label+" mode"),
			MTU:          rapid.SampledFrom([]int{0, 1400}).Draw(rt, label+" mtu"),
		}.WithDefaults()
		if rapid.Bool().Draw(rt, label+" dns") {
			s.LocalIPs = []netip.Addr{netip.MustParseAddr("10.43.0.10")}
		}
		var peers []Peer
		for i := range rapid.IntRange(0, 4).Draw(rt, label+" peers") {
			peers = append(peers, Peer{
				Name: string(rune('a' + i)),
				IPs: []netip.Addr{netip.AddrFrom4([4]byte{
					192, 168, byte(rapid.IntRange(9, 10).Draw(rt, "net")),
					byte(rapid.IntRange(2, 5).Draw(rt, "host")),
				})},
				PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{
					10, 42,
					byte(rapid.IntRange(1, 4).Draw(rt, "range")), 0,
				}), 24)},
			})
		}
		return Want(s, peers, links)
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := cluster(rt, "a"), cluster(rt, "b")
		a.Problems = nil
		after := pretend(a, Plan(b, a))
		if rest := Plan(b, after); len(rest) > 0 {
			rt.Fatalf("still to do: %v\nfrom:\n%s\nto:\n%s", rest, a, b)
		}
		if after.Problems = b.Problems; after.String() != b.String() {
			rt.Fatalf("got:\n%s\nwant:\n%s", after, b)
		}
	})
}

func TestPlanPassesOverMissingSysctls(t *testing.T) {
	want := State{Sysctls: []Sysctl{{"net/present", "1"}, {"net/missing", "1"}}}
	got := Plan(want, State{Sysctls: []Sysctl{{"net/present", "0"}}})
	if len(got) != 1 || !strings.Contains(got[0].String(), "net/present = 1") {
		t.Errorf("got %v", got)
	}
}
