package cni

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/vishvananda/netlink"

	"coracle.dev/coracle/internal/network/ipam"
	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/nft"
)

// node is a namespace that plays a node, with pods attached by the plugin.
type node struct {
	ns   *nettest.NS
	conf map[string]any
}

func newNode(t *testing.T, ranges ...string) *node {
	nettest.RequireRoot(t)
	n := &node{ns: nettest.NewNS(t), conf: map[string]any{
		"cniVersion": SpecVersion, "name": "coracle", "type": PluginName,
		"ranges": ranges, "stateDir": t.TempDir(), "mtu": 1450, "nodeIPs": []string{"192.0.2.1"},
	}}
	// An uplink to nowhere, as a node has one: its address is the source of what the node sends to pods.
	nettest.Join(t, n.ns, "uplink", "192.0.2.1/24", nettest.NewNS(t), "far", "192.0.2.2/24")
	return n
}

func (n *node) args(t *testing.T, id string, pod *nettest.NS, extra map[string]any) *skel.CmdArgs {
	conf := map[string]any{}
	for _, m := range []map[string]any{n.conf, extra} {
		for k, v := range m {
			conf[k] = v
		}
	}
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	a := &skel.CmdArgs{ContainerID: id, IfName: "eth0", StdinData: b}
	if pod != nil {
		a.Netns = pod.Path()
	}
	return a
}

func (n *node) attach(t *testing.T, id string, pod *nettest.NS, extra map[string]any) []netip.Addr {
	t.Helper()
	var ips []netip.Addr
	n.ns.Do(t, func() error {
		r, _, err := Attach(n.args(t, id, pod, extra))
		if err != nil {
			return err
		}
		for _, ip := range r.IPs {
			a, _ := netip.AddrFromSlice(ip.Address.IP)
			ips = append(ips, a.Unmap())
		}
		return nil
	})
	return ips
}

func fetch(t *testing.T, ns *nettest.NS, addr string) string {
	t.Helper()
	got, err := nettest.Fetch(ns, addr)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPodsReachEachOtherAndTheirNode(t *testing.T) {
	n := newNode(t, "10.42.3.0/24", "fd42:3::/64")
	n.ns.Do(t, func() error {
		for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+key, []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	a, b := nettest.NewNS(t), nettest.NewNS(t)
	ipA, ipB := n.attach(t, "a", a, nil), n.attach(t, "b", b, nil)
	if fmt.Sprint(ipA, ipB) != "[10.42.3.1 fd42:3::1] [10.42.3.2 fd42:3::2]" {
		t.Fatalf("addresses: %v %v", ipA, ipB)
	}
	nettest.Serve(t, b, "0.0.0.0:80", "b")
	nettest.Serve(t, b, "[::]:81", "b6")
	nettest.Serve(t, n.ns, "192.0.2.1:80", "node")
	if got := fetch(t, a, "10.42.3.2:80"); got != "b from 10.42.3.1" {
		t.Errorf("pod to pod: %q", got)
	}
	if got := fetch(t, a, "[fd42:3::2]:81"); got != "b6 from fd42:3::1" {
		t.Errorf("pod to pod over IPv6: %q", got)
	}
	if got := fetch(t, n.ns, "10.42.3.2:80"); got != "b from 192.0.2.1" {
		t.Errorf("node to pod: %q", got)
	}
	if got := fetch(t, a, "192.0.2.1:80"); got != "node from 10.42.3.1" {
		t.Errorf("pod to node: %q", got)
	}
	n.ns.Do(t, func() error { return check(n.args(t, "a", a, nil)) })
	a.Do(t, func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil && (l.Attrs().MTU != 1450 || l.Attrs().HardwareAddr.String() != "0a:58:0a:2a:03:01") {
			t.Errorf("eth0 has MTU %d and address %s", l.Attrs().MTU, l.Attrs().HardwareAddr)
		}
		return err
	})
}

func TestDelRemovesEverythingAndMayRepeat(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	pod := nettest.NewNS(t)
	mapping := map[string]any{"runtimeConfig": map[string]any{"portMappings": []PortMapping{{HostPort: 8080, ContainerPort: 80}}}}
	n.attach(t, "a", pod, mapping)
	for range 2 {
		n.ns.Do(t, func() error { return del(n.args(t, "a", pod, nil)) })
	}
	n.ns.Do(t, func() error {
		if err := check(n.args(t, "a", pod, nil)); err == nil {
			t.Error("CHECK finds a detached pod")
		}
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, "cor") {
				t.Errorf("left interface %s", l.Attrs().Name)
			}
		}
		return nil
	})
	for _, sub := range []string{"addresses/10.42.3.1", "hostports/a-eth0.json"} {
		if _, err := os.Stat(filepath.Join(n.conf["stateDir"].(string), sub)); !os.IsNotExist(err) {
			t.Errorf("left %s", sub)
		}
	}
}

func TestAddAfterACrashStartsOver(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	pod := nettest.NewNS(t)
	first := n.attach(t, "a", pod, nil)
	again := n.attach(t, "a", pod, nil)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("got %v, then %v", first, again)
	}
}

func TestFailedAddLeavesNothing(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	pod := nettest.NewNS(t)
	pod.Do(t, func() error { // the name is taken in the pod
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		veth := netlink.NewVeth(attrs)
		veth.PeerName = "other"
		return netlink.LinkAdd(veth)
	})
	n.ns.Do(t, func() error {
		if _, _, err := Attach(n.args(t, "a", pod, nil)); err == nil {
			t.Error("ADD succeeded")
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(n.conf["stateDir"].(string), "addresses/10.42.3.1")); !os.IsNotExist(err) {
		t.Error("the address is still taken")
	}
}

func TestGCKeepsValidAttachmentsOnly(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	a, b := nettest.NewNS(t), nettest.NewNS(t)
	n.attach(t, "a", a, nil)
	n.attach(t, "b", b, nil)
	n.ns.Do(t, func() error {
		return gc(n.args(t, "", nil, map[string]any{
			"cni.dev/valid-attachments": []map[string]string{{"containerID": "b", "ifname": "eth0"}},
		}))
	})
	n.ns.Do(t, func() error { return check(n.args(t, "b", b, nil)) })
	n.ns.Do(t, func() error {
		if check(n.args(t, "a", a, nil)) == nil {
			t.Error("the stale attachment is still there")
		}
		return nil
	})
}

func TestHostPorts(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	client := nettest.NewNS(t)
	nettest.Join(t, n.ns, "lan", "198.51.100.1/24", client, "eth0", "198.51.100.9/24")
	n.ns.Do(t, func() error {
		for key, v := range map[string]string{"ip_forward": "1", "conf/all/route_localnet": "1"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+key, []byte(v), 0); err != nil {
				return err
			}
		}
		return nil
	})
	pod, other := nettest.NewNS(t), nettest.NewNS(t)
	n.attach(t, "a", pod, map[string]any{"runtimeConfig": map[string]any{"portMappings": []PortMapping{
		{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"},
		{HostPort: 9090, ContainerPort: 80, HostIP: "198.51.100.1"},
	}}})
	n.attach(t, "b", other, nil)
	nettest.Serve(t, pod, "0.0.0.0:80", "pod")
	for _, c := range []struct {
		from       *nettest.NS
		addr, want string
	}{
		{client, "198.51.100.1:8080", "pod from 198.51.100.9"},
		{client, "198.51.100.1:9090", "pod from 198.51.100.9"},
		{n.ns, "192.0.2.1:8080", "pod from 192.0.2.1"},
		{n.ns, "127.0.0.1:8080", "pod from 192.0.2.1"},
		{other, "192.0.2.1:8080", "pod from 10.42.3.2"},
		{pod, "192.0.2.1:8080", "pod from 192.0.2.1"}, // itself, by way of the node
	} {
		if got := fetch(t, c.from, c.addr); got != c.want {
			t.Errorf("%s: got %q, want %q", c.addr, got, c.want)
		}
	}
	n.ns.Do(t, func() error {
		if _, _, err := Attach(n.args(t, "c", nettest.NewNS(t), map[string]any{"runtimeConfig": map[string]any{
			"portMappings": []PortMapping{{HostPort: 8080, ContainerPort: 81}},
		}})); err == nil {
			t.Error("a taken host port was given away")
		}
		c, err := nft.Open()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.Delete(HostPortTable); err != nil { // someone flushes the ruleset
			return err
		}
		return SyncHostPorts(c, n.conf["stateDir"].(string))
	})
	if got := fetch(t, client, "198.51.100.1:8080"); got != "pod from 198.51.100.9" {
		t.Errorf("after a repair: %q", got)
	}
	n.ns.Do(t, func() error {
		return Detach(Settings{StateDir: n.conf["stateDir"].(string)}, ipam.Owner{ContainerID: "a", Interface: "eth0"})
	})
	client.Do(t, func() error {
		if _, err := net.Dial("tcp", "198.51.100.1:8080"); err == nil {
			t.Error("the port is still published")
		}
		return nil
	})
}

func TestStatus(t *testing.T) {
	n := &node{conf: map[string]any{
		"cniVersion": SpecVersion, "name": "coracle", "type": PluginName,
		"ranges": []string{"10.0.0.1/32"}, "stateDir": t.TempDir(),
	}}
	if err := status(n.args(t, "", nil, nil)); err != nil {
		t.Errorf("with a free address: %v", err)
	}
	only := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	pool, err := ipam.New(filepath.Join(n.conf["stateDir"].(string), "addresses"), only)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Allocate(ipam.Owner{ContainerID: "x", Interface: "eth0"}); err != nil {
		t.Fatal(err)
	}
	if err := status(n.args(t, "", nil, nil)); err == nil {
		t.Error("without a free address: no error")
	}
}

func TestParseConfRejects(t *testing.T) {
	mapping := func(m string) string {
		return `{"name":"n","stateDir":"/x","ranges":["10.0.0.0/24"],"runtimeConfig":{"portMappings":[` + m + `]}}`
	}
	for name, conf := range map[string]string{
		"not JSON":       `{`,
		"no ranges":      `{"name":"n","stateDir":"/x"}`,
		"bad range":      `{"name":"n","stateDir":"/x","ranges":["10.0.0.0/33"]}`,
		"two IPv4":       `{"name":"n","stateDir":"/x","ranges":["10.0.0.0/24","10.0.1.0/24"]}`,
		"relative state": `{"name":"n","stateDir":"x","ranges":["10.0.0.0/24"]}`,
		"bad port":       mapping(`{"hostPort":70000,"containerPort":1}`),
		"bad protocol":   mapping(`{"hostPort":7,"containerPort":1,"protocol":"icmp"}`),
		"bad host":       mapping(`{"hostPort":7,"containerPort":1,"hostIP":"h"}`),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseConf([]byte(conf)); err == nil {
				t.Error("accepted")
			}
		})
	}
	good := mapping(`{"hostPort":7,"containerPort":1,"protocol":"udp","hostIP":"192.0.2.1"}`)
	if _, err := parseConf([]byte(good)); err != nil {
		t.Errorf("a good one is refused: %v", err)
	}
}

func FuzzParseConf(f *testing.F) {
	b, err := Conflist(Settings{Ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, StateDir: "/x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"name":"n","runtimeConfig":{"portMappings":[{"hostPort":7,"containerPort":1}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseConf(data) })
}
