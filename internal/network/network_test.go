package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	miekg "github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/network/cni"
	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/nft"
	"coracle.dev/coracle/internal/network/overlay"
)

// machine is a namespace with a whole node's network running in it.
type machine struct {
	t    *testing.T
	name string
	ns   *nettest.NS
	net  *Network
	dir  string
	stop func()
}

func config(t *testing.T, c *nettest.Client, name, ip string, mode overlay.Mode, dir string) Config {
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvConf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{
		NodeName: name, Client: c, NodeIPs: []netip.Addr{netip.MustParseAddr(ip)}, Mode: mode,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ClusterDNS:   []netip.Addr{netip.MustParseAddr("10.43.0.10")},
		ResolvConf:   resolvConf, CNIConfDir: filepath.Join(dir, "conf"), StateDir: filepath.Join(dir, "state"),
		Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
	}
}

func startMachine(t *testing.T, ns *nettest.NS, conf Config, dir string) *machine {
	t.Helper()
	m := &machine{t: t, name: conf.NodeName, ns: ns, dir: dir}
	ns.Do(t, func() (err error) {
		m.net, err = New(conf)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.net.Run(ctx) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the network ended with %v", m.name, err)
		}
	}
	t.Cleanup(m.stop)
	return m
}

// pod connects a new namespace with the written configuration, as the container runtime does.
func (m *machine) pod(id string) (ns *nettest.NS, ip string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, "conf", confName))
	if err != nil {
		m.t.Fatal(err)
	}
	var list struct {
		CNIVersion, Name string
		Plugins          []map[string]any
	}
	if err := json.Unmarshal(b, &list); err != nil {
		m.t.Fatal(err)
	}
	plugin := list.Plugins[0]
	plugin["cniVersion"], plugin["name"] = list.CNIVersion, list.Name
	conf, err := json.Marshal(plugin)
	if err != nil {
		m.t.Fatal(err)
	}
	ns = nettest.NewNS(m.t)
	m.ns.Do(m.t, func() error {
		r, _, err := cni.Attach(&skel.CmdArgs{ContainerID: id, IfName: "eth0", Netns: ns.Path(), StdinData: conf})
		if err == nil {
			ip = r.IPs[0].Address.IP.String()
		}
		return err
	})
	return ns, ip
}

// resolve asks the cluster's DNS from within a namespace.
func resolve(ns *nettest.NS, name string) (string, error) {
	var conn *miekg.Conn
	if err := ns.Run(func() (err error) {
		conn, err = miekg.Dial("udp", "10.43.0.10:53")
		return err
	}); err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	r, _, err := new(miekg.Client).ExchangeWithConn(new(miekg.Msg).SetQuestion(name, miekg.TypeA), conn)
	if err != nil {
		return "", err
	}
	if len(r.Answer) == 0 {
		return miekg.RcodeToString[r.Rcode], nil
	}
	return r.Answer[0].(*miekg.A).A.String(), nil
}

func kubeNode(name, ip string, cidrs ...string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: cidrs},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}},
	}
}

func ptr[T any](v T) *T { return &v }

func publish(c *nettest.Client, name, clusterIP string, endpoints map[string]string) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	svc.Spec.ClusterIP = clusterIP
	svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}}
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		Name: name + "-1", Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: name},
	}}
	slice.Ports = []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}}
	for ip, node := range endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: &node})
	}
	c.Of("services").Put(svc)
	c.Of("endpointslices.discovery.k8s.io").Put(slice)
}

// TestTwoNodes walks the whole way: ranges, configuration, pods, names, services on the other node, in each mode.
func TestTwoNodes(t *testing.T) {
	nettest.RequireRoot(t)
	for _, mode := range []overlay.Mode{overlay.Direct, overlay.VXLAN} {
		t.Run(string(mode), func(t *testing.T) {
			c := nettest.NewClient()
			nsA, nsB := nettest.NewNS(t), nettest.NewNS(t)
			nettest.Join(t, nsA, "eth0", "192.168.9.1/24", nsB, "eth0", "192.168.9.2/24")
			c.Of("nodes").Put(kubeNode("a", "192.168.9.1", "10.42.0.0/24"), kubeNode("b", "192.168.9.2", "10.42.1.0/24"))
			dirA, dirB := t.TempDir(), t.TempDir()
			a := startMachine(t, nsA, config(t, c, "a", "192.168.9.1", mode, dirA), dirA)
			b := startMachine(t, nsB, config(t, c, "b", "192.168.9.2", mode, dirB), dirB)
			<-a.net.Ready()
			<-b.net.Ready()
			client, clientIP := a.pod("client")
			server, serverIP := b.pod("server")
			if clientIP != "10.42.0.1" || serverIP != "10.42.1.1" {
				t.Fatalf("addresses %s and %s", clientIP, serverIP)
			}
			nettest.Serve(t, server, "0.0.0.0:8080", "server")
			publish(c, "web", "10.43.0.20", map[string]string{serverIP: "b"})
			for _, ns := range []*nettest.NS{client, server, nsA} {
				nettest.WaitFor(t, ns, func() error {
					ip, err := resolve(ns, "web.default.svc.cluster.local.")
					if err == nil && ip != "10.43.0.20" {
						err = fmt.Errorf("the name leads to %s", ip)
					}
					return err
				})
			}
			for _, w := range []struct {
				name string
				from *nettest.NS
				addr string
				want string
			}{
				{"pod, service on the other node", client, "10.43.0.20:80", "server from 10.42.0.1"},
				{"pod, node port of its own node", client, "192.168.9.1:30080", "server from 192.168.9.1"},
				{"node, service on the other node", nsA, "10.43.0.20:80", "server from 192.168.9.1"},
				{"node, node port on its loopback", nsA, "127.0.0.1:30080", "server from 192.168.9.1"},
				{"hairpin", server, "10.43.0.20:80", "server from 192.168.9.2"},
			} {
				nettest.WaitFor(t, w.from, func() error { // until the rules followed the names
					_, err := net.Dial("tcp", w.addr)
					return err
				})
				if got, err := nettest.Fetch(w.from, w.addr); err != nil || got != w.want {
					t.Errorf("%s: got %q %v, want %q", w.name, got, err, w.want)
				}
			}
			if got, err := resolve(client, "missing.default.svc.cluster.local."); err != nil || got != "NXDOMAIN" {
				t.Errorf("a missing name: %s %v", got, err)
			}
			// Without an agent everything but names goes on; a new agent takes over.
			a.stop()
			if got, err := nettest.Fetch(client, "10.43.0.20:80"); err != nil || got != "server from 10.42.0.1" {
				t.Errorf("without an agent: %q %v", got, err)
			}
			again := startMachine(t, nsA, config(t, c, "a", "192.168.9.1", mode, dirA), dirA)
			<-again.net.Ready()
			if got, err := nettest.Fetch(client, "10.43.0.20:80"); err != nil || got != "server from 10.42.0.1" {
				t.Errorf("with a new agent: %q %v", got, err)
			}
		})
	}
}

func TestConfigurationFollowsTheNode(t *testing.T) {
	nettest.RequireRoot(t)
	c, ns, dir := nettest.NewClient(), nettest.NewNS(t), t.TempDir()
	nettest.Join(t, ns, "eth0", "192.168.9.1/24", nettest.NewNS(t), "eth0", "192.168.9.2/24")
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1"))
	m := startMachine(t, ns, config(t, c, "a", "192.168.9.1", overlay.Auto, dir), dir)
	path := filepath.Join(dir, "conf", confName)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a configuration without a range: %v", err)
	}
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1", "10.42.7.0/24"))
	<-m.net.Ready()
	_, ip := m.pod("x")
	if ip != "10.42.7.1" {
		t.Errorf("got %s", ip)
	}
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1"))
	nettest.WaitFor(t, ns, func() error {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the configuration is still there: %w", err)
		}
		return nil
	})
}

func TestFlushedRulesetIsRestored(t *testing.T) {
	nettest.RequireRoot(t)
	c, ns, dir := nettest.NewClient(), nettest.NewNS(t), t.TempDir()
	nettest.Join(t, ns, "eth0", "192.168.9.1/24", nettest.NewNS(t), "eth0", "192.168.9.2/24")
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1", "10.42.0.0/24"))
	m := startMachine(t, ns, config(t, c, "a", "192.168.9.1", overlay.Auto, dir), dir)
	<-m.net.Ready()
	tables := []string{"coracle", "coracle-overlay", cni.HostPortTable}
	present := func() error {
		conn, err := nft.Open()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		for _, table := range tables {
			if there, err := conn.Has(table); err != nil || !there {
				return fmt.Errorf("table %s: %v %w", table, there, err)
			}
		}
		return nil
	}
	nettest.WaitFor(t, ns, present)
	ns.Do(t, func() error {
		conn, err := nft.Open()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		for _, table := range tables {
			err = errors.Join(err, conn.Delete(table))
		}
		return err
	})
	nettest.WaitFor(t, ns, present)
}

func TestRemoveLeavesNothing(t *testing.T) {
	nettest.RequireRoot(t)
	c, ns, dir := nettest.NewClient(), nettest.NewNS(t), t.TempDir()
	nettest.Join(t, ns, "eth0", "192.168.9.1/24", nettest.NewNS(t), "eth0", "192.168.9.2/24")
	c.Of("nodes").Put(kubeNode("a", "192.168.9.1", "10.42.0.0/24"), kubeNode("b", "192.168.9.2", "10.42.1.0/24"))
	state := func() (out string) {
		ns.Do(t, func() error {
			links, err := netlink.LinkList()
			if err != nil {
				return err
			}
			addrs, err := netlink.AddrList(nil, unix.AF_INET)
			if err != nil {
				return err
			}
			routes, err := netlink.RouteList(nil, unix.AF_INET)
			if err != nil {
				return err
			}
			conn, err := nft.Open()
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			tables := 0
			for _, table := range []string{"coracle", "coracle-overlay", cni.HostPortTable} {
				if there, _ := conn.Has(table); there {
					tables++
				}
			}
			confs, err := filepath.Glob(filepath.Join(dir, "conf", "*"))
			out = fmt.Sprintf("%d links, %d addresses, %d routes, %d tables, %d files",
				len(links), len(addrs), len(routes), tables, len(confs))
			return err
		})
		return out
	}
	before := state()
	conf := config(t, c, "a", "192.168.9.1", overlay.VXLAN, dir)
	m := startMachine(t, ns, conf, dir)
	<-m.net.Ready()
	m.stop()
	if during := state(); during == before {
		t.Fatalf("the network set up nothing: %s", during)
	}
	ns.Do(t, func() error { return Remove(conf) })
	if after := state(); after != before {
		t.Errorf("before: %s; after: %s", before, after)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := config(t, nettest.NewClient(), "a", "192.168.9.1", overlay.Auto, t.TempDir())
	for name, spoil := range map[string]func(c *Config){
		"no name":          func(c *Config) { c.NodeName = "" },
		"no client":        func(c *Config) { c.Client = nil },
		"no address":       func(c *Config) { c.NodeIPs = nil },
		"no pod range":     func(c *Config) { c.ClusterCIDRs = nil },
		"unknown mode":     func(c *Config) { c.Mode = "ipip" },
		"DNS out of range": func(c *Config) { c.ClusterDNS = []netip.Addr{netip.MustParseAddr("192.0.2.1")} },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			spoil(&c)
			if _, err := New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}
