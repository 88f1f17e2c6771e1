package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/nft"
)

// world is a node with two pods, a stranger on its network, and a proxy whose view the test fills.
type world struct {
	t                    *testing.T
	c                    *nettest.Client
	node, a, b, stranger *nettest.NS
}

func newWorld(t *testing.T) *world {
	nettest.RequireRoot(t)
	w := &world{t: t, c: nettest.NewClient(), node: nettest.NewNS(t), stranger: nettest.NewNS(t)}
	nettest.Join(t, w.node, "eth0", "192.168.9.1/24", w.stranger, "eth0", "192.168.9.9/24")
	w.node.Do(t, func() error {
		for key, v := range map[string]string{
			"ipv4/ip_forward": "1", "ipv4/conf/all/route_localnet": "1", "ipv4/conf/all/rp_filter": "2",
			"ipv6/conf/all/forwarding": "1",
		} {
			if err := os.WriteFile("/proc/sys/net/"+key, []byte(v), 0); err != nil {
				return err
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		_, range4, _ := net.ParseCIDR("10.43.0.0/16")
		_, range6, _ := net.ParseCIDR("fd43::/112")
		return errors.Join(
			netlink.RouteAdd(&netlink.Route{
				LinkIndex: lo.Attrs().Index, Dst: range4, Scope: netlink.SCOPE_LINK, Src: net.IPv4(192, 168, 9, 1),
			}),
			netlink.RouteAdd(&netlink.Route{
				LinkIndex: lo.Attrs().Index, Dst: range6, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
				Table: unix.RT_TABLE_MAIN,
			}))
	})
	w.a = nettest.Pod(t, w.node, "a", "10.42.0.5")
	w.b = nettest.Pod(t, w.node, "b", "10.42.0.6")
	return w
}

func (w *world) start() *world {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	p, err := New(settings(), "n1", thisNode().IPs, w.c, log, clock.RealClock{})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.node.Run(func() error { return p.Run(ctx) }) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Errorf("proxy ended with %v", err)
		}
	})
	select {
	case <-p.Ready():
	case err := <-done:
		done <- err
		w.t.Fatalf("proxy ended: %v", err)
	}
	return w
}

type edit func(*corev1.Service)

// service puts a service with TCP port 80 and 30080, and UDP port 53, into the view.
func (w *world) service(name, ip string, edits ...edit) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	s.Spec.ClusterIP, s.Spec.ClusterIPs = ip, []string{ip}
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP},
		{Name: "dns", Port: 53, NodePort: 30053, Protocol: corev1.ProtocolUDP},
	}
	for _, e := range edits {
		e(s)
	}
	w.c.Of("services").Put(s)
}

// endpoints puts a slice with TCP port 8080 and UDP port 5353 into the view.
func (w *world) endpoints(service string, ips ...string) {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		Name: service + "-1", Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: service},
	}}
	s.Ports = []discoveryv1.EndpointPort{
		{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)},
		{Name: ptr("dns"), Port: ptr(int32(5353)), Protocol: ptr(corev1.ProtocolUDP)},
	}
	for _, ip := range ips {
		if netip.MustParseAddr(ip).Is6() {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: ptr("n1")})
	}
	w.c.Of("endpointslices.discovery.k8s.io").Put(s)
}

func (w *world) want(from *nettest.NS, addr, want string) {
	w.t.Helper()
	if got, err := nettest.Fetch(from, addr); err != nil || got != want {
		w.t.Errorf("%s: got %q %v, want %q", addr, got, err, want)
	}
}

// programmed waits until the kernel has exactly n elements in the set.
func (w *world) programmed(name string, n int) {
	w.t.Helper()
	nettest.WaitFor(w.t, w.node, func() error {
		c, err := nft.Open()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		got, err := c.Elements(Table, set(name, nft.IP))
		if err == nil && len(got) != n {
			err = fmt.Errorf("%s has %d elements, want %d", name, len(got), n)
		}
		return err
	})
}

func TestConnectionsThroughAService(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.service("web", "10.43.0.20", func(s *corev1.Service) {
		s.Spec.ExternalIPs = []string{"192.168.9.1"}
		s.Spec.Ports[0].Port = 80
	})
	w.endpoints("web", "10.42.0.6")
	w.start()
	w.want(w.a, "10.43.0.20:80", "b from 10.42.0.5")              // a pod keeps its address
	w.want(w.b, "10.43.0.20:80", "b from 192.168.9.1")            // hairpin
	w.want(w.node, "10.43.0.20:80", "b from 192.168.9.1")         // the node itself
	w.want(w.stranger, "192.168.9.1:30080", "b from 192.168.9.1") // a node port hides the client
	w.want(w.node, "192.168.9.1:30080", "b from 192.168.9.1")
	w.want(w.node, "127.0.0.1:30080", "b from 192.168.9.1")
	w.want(w.a, "192.168.9.1:30080", "b from 192.168.9.1")
	w.want(w.stranger, "192.168.9.1:80", "b from 192.168.9.1") // external IP
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.service("empty", "10.43.0.20")
	w.start()
	for _, c := range []struct {
		name string
		from *nettest.NS
		addr string
	}{
		{"no endpoints, from a pod", w.a, "10.43.0.20:80"},
		{"no endpoints, from the node", w.node, "10.43.0.20:80"},
		{"no endpoints, node port", w.stranger, "192.168.9.1:30080"},
		{"no such port", w.a, "10.43.0.20:81"},
		{"no such service, from a pod", w.a, "10.43.7.7:80"},
		{"no such service, from the node", w.node, "10.43.7.7:80"},
	} {
		if _, err := nettest.Fetch(c.from, c.addr); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: got %v, want connection refused", c.name, err)
		}
	}
	w.a.Do(t, func() error {
		conn, err := net.Dial("udp", "10.43.0.20:53")
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("UDP: got %v, want port unreachable", err)
		}
		return nil
	})
	// Endpoints come, and the same addresses work.
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.endpoints("empty", "10.42.0.6")
	w.programmed(setReject, 0)
	w.want(w.a, "10.43.0.20:80", "b from 10.42.0.5")
}

func TestTheLoopbackIsNotOpenToTheNetwork(t *testing.T) {
	w := newWorld(t)
	w.start()
	nettest.Serve(t, w.node, "127.0.0.1:9999", "secret")
	w.stranger.Do(t, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil { // else 127.0.0.0/8 is its own
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{
			LinkIndex: l.Attrs().Index, Gw: net.IPv4(192, 168, 9, 1),
			Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(32, 32)},
		})
	})
	err := w.stranger.Run(func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:9999", 500*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err == nil {
		t.Error("a stranger reached the node's loopback")
	}
}

func TestSessionAffinity(t *testing.T) {
	w := newWorld(t)
	var all []string
	for i := range 8 {
		ip := fmt.Sprintf("10.42.0.%d", 20+i)
		nettest.Serve(t, nettest.Pod(t, w.node, fmt.Sprint("s", i), ip), "0.0.0.0:8080", ip)
		all = append(all, ip)
	}
	w.service("web", "10.43.0.20", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	w.endpoints("web", all...)
	w.start()
	first, err := nettest.Fetch(w.a, "10.43.0.20:80")
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		w.want(w.a, "10.43.0.20:80", first)
	}
	// The endpoint goes away: the client is moved, once.
	used := strings.Fields(first)[0]
	var rest []string
	for _, ip := range all {
		if ip != used {
			rest = append(rest, ip)
		}
	}
	w.endpoints("web", rest...)
	w.programmed(setAffinity, 0)
	second, err := nettest.Fetch(w.a, "10.43.0.20:80")
	if err != nil || second == first {
		t.Fatalf("after the endpoint left: %q %v", second, err)
	}
	// The table is lost: what the kernel remembered is lost too, but a restart of the agent keeps it.
	w.start()
	for range 12 {
		w.want(w.a, "10.43.0.20:80", second)
	}
}

func TestSpreadsOverEndpoints(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.a, "0.0.0.0:8080", "a")
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.service("web", "10.43.0.20")
	w.endpoints("web", "10.42.0.5", "10.42.0.6")
	w.start()
	seen := map[string]int{}
	for range 60 { // all to one: once in 2^59 runs
		got, err := nettest.Fetch(w.node, "10.43.0.20:80")
		if err != nil {
			t.Fatal(err)
		}
		seen[got]++
	}
	if len(seen) != 2 {
		t.Errorf("answers: %v", seen)
	}
}

func TestPolicyLocalKeepsTheClient(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.service("edge", "10.43.0.20", func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		s.Spec.HealthCheckNodePort = 32000
	})
	w.endpoints("edge", "10.42.0.6")
	w.start()
	// The pod's answer to the stranger leaves by the node.
	w.want(w.stranger, "192.168.9.1:30080", "b from 192.168.9.9")
	w.want(w.a, "192.168.9.1:30080", "b from 10.42.0.5")
	health := func() (code int, body string) {
		w.stranger.Do(t, func() error {
			conn, err := net.Dial("tcp", "192.168.9.1:32000")
			if err != nil {
				return err
			}
			c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return conn, nil
			}, DisableKeepAlives: true}}
			resp, err := c.Get("http://node/healthz")
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			code, body = resp.StatusCode, string(b)
			return err
		})
		return code, body
	}
	if code, body := health(); code != http.StatusOK || !strings.Contains(body, `"localEndpoints":1`) {
		t.Errorf("health: %d %s", code, body)
	}
	w.endpoints("edge")
	w.programmed(setServices, 0)
	nettest.WaitFor(t, w.node, func() error {
		if code, _ := health(); code != http.StatusServiceUnavailable {
			return fmt.Errorf("health: %d", code)
		}
		return nil
	})
}

func TestUDPClientFollowsTheEndpoint(t *testing.T) {
	w := newWorld(t)
	nettest.ServeUDP(t, w.a, "0.0.0.0:5353", "a")
	nettest.ServeUDP(t, w.b, "0.0.0.0:5353", "b")
	w.service("dns", "10.43.0.20")
	w.endpoints("dns", "10.42.0.5")
	w.start()
	var conn net.Conn
	w.node.Do(t, func() (err error) {
		conn, err = net.Dial("udp", "10.43.0.20:53")
		return err
	})
	defer func() { _ = conn.Close() }()
	ask := func() string { // from one socket: to the kernel it is one connection
		b := make([]byte, 100)
		for {
			if _, err := conn.Write([]byte("?")); err != nil {
				continue // an earlier datagram was refused
			}
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := conn.Read(b); err == nil {
				return string(b[:n])
			}
		}
	}
	if got := ask(); got != "a from 192.168.9.1" {
		t.Errorf("first: %q", got)
	}
	w.endpoints("dns", "10.42.0.6")
	nettest.WaitFor(t, w.node, func() error {
		if got := ask(); got != "b from 192.168.9.1" {
			return fmt.Errorf("after the move: %q", got)
		}
		return nil
	})
}

func TestFlushedTableIsRepaired(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.service("web", "10.43.0.20")
	w.endpoints("web", "10.42.0.6")
	w.start()
	for name, damage := range map[string]func(c *nft.Conn) error{
		"table": func(c *nft.Conn) error { return c.Delete(Table) },
		"element": func(c *nft.Conn) error {
			change := nft.NewChange(base(settings(), thisNode()))
			change.Delete("services4", nft.Element{Key: nft.Tuple("").Addr(netip.MustParseAddr("10.43.0.20")).Proto(6).Port(80)})
			return c.Apply(change)
		},
		"foreign chain": func(c *nft.Conn) error {
			other := nft.NewTable(Table)
			other.AddChain("mine", nil)
			return c.Ensure(other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.programmed(setServices, 2)
			w.node.Do(t, func() error {
				c, err := nft.Open()
				if err != nil {
					return err
				}
				defer func() { _ = c.Close() }()
				return damage(c)
			})
			w.programmed(setServices, 2)
			w.want(w.a, "10.43.0.20:80", "b from 10.42.0.5")
		})
	}
}

func TestManyServicesInOneTransaction(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	const n = 1500
	for i := range n {
		w.service(fmt.Sprint("s", i), fmt.Sprintf("10.43.%d.%d", 1+i/250, 1+i%250), func(s *corev1.Service) {
			s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort = 0, 0
		})
		w.endpoints(fmt.Sprint("s", i), "10.42.0.6", "10.42.0.5")
	}
	w.endpoints("s1499", "10.42.0.6")
	w.start()
	w.programmed(setServices, 2*n)
	w.want(w.a, "10.43.6.250:80", "b from 10.42.0.5")
}

func TestIPv6Service(t *testing.T) {
	w := newWorld(t)
	w.node.Do(t, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("fd09::1/64")
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		return netlink.AddrAdd(l, addr)
	})
	a, b := nettest.Pod(t, w.node, "a6", "fd42::5"), nettest.Pod(t, w.node, "b6", "fd42::6")
	nettest.Serve(t, b, "[::]:8080", "b")
	w.service("web", "fd43::20")
	w.endpoints("web", "fd42::6")
	w.service("empty", "fd43::21", func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 30081 })
	w.start()
	w.want(a, "[fd43::20]:80", "b from fd42::5")
	w.want(w.node, "[fd43::20]:80", "b from fd09::1")
	w.want(b, "[fd43::20]:80", "b from fd09::1") // hairpin
	for _, from := range []*nettest.NS{a, w.node} {
		for _, addr := range []string{"[fd43::21]:80", "[fd43::22]:80"} {
			if _, err := nettest.Fetch(from, addr); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s: got %v, want connection refused", addr, err)
			}
		}
	}
}
