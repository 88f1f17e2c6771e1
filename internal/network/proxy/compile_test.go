package proxy

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/nft"
	"coracle.dev/coracle/internal/network/services"
)

var _ = flag.Bool("rewrite", false, "bring golden files up to date")

func settings() Settings {
	return Settings{
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd42::/48")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16"), netip.MustParsePrefix("fd43::/112")},
		LocalIPs:     []netip.Addr{netip.MustParseAddr("10.43.0.10")},
	}
}

func thisNode() Node {
	return Node{Name: "n1", Zone: "east", IPs: []netip.Addr{netip.MustParseAddr("192.168.9.1")}}
}

// update brings a tracker to the given objects.
func update(t *Tracker, svcs []*corev1.Service, all []*discoveryv1.EndpointSlice) {
	keys := map[string]bool{}
	for _, key := range t.Keys() {
		keys[key] = true
	}
	byKey := map[string]*corev1.Service{}
	for _, s := range svcs {
		byKey[s.Namespace+"/"+s.Name] = s
		keys[s.Namespace+"/"+s.Name] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		var own []*discoveryv1.EndpointSlice
		for _, s := range all {
			if services.Of(s) == key {
				own = append(own, s)
			}
		}
		t.Update(key, byKey[key], own)
	}
}

func TestChanges(t *testing.T) {
	nettest.Golden(t, func(t *testing.T, input func(string) []byte) string {
		svcs := nettest.Documents[corev1.Service](t, input("services.yaml"))
		tr := NewTracker(settings(), thisNode())
		update(tr, svcs, nettest.Documents[discoveryv1.EndpointSlice](t, input("slices.yaml")))
		first, _ := tr.Take()
		update(tr, svcs, nettest.Documents[discoveryv1.EndpointSlice](t, input("slices2.yaml")))
		second, effects := tr.Take()
		return fmt.Sprintf("%s--- then\n%sforget clients: %v, UDP: %d, health: %v\n", first, second, effects.ForgetClients,
			len(effects.UDP), effects.Health)
	})
}

// TestBase pins the part of the table that does not depend on services.
func TestBase(t *testing.T) {
	got := base(settings(), thisNode()).String()
	for _, want := range []string{
		"type nat hook prerouting priority -100", "type nat hook output priority -100", "type nat hook postrouting priority 98",
		"meta nfproto ipv4 ip daddr 10.43.0.10 return",
		"meta nfproto ipv4 ip daddr 10.43.0.0/16 ip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000",
		"meta nfproto ipv4 ip daddr . meta l4proto . th dport vmap @services4",
		"meta nfproto ipv6 fib daddr type local ip6 daddr != ::1 meta l4proto . th dport vmap @node-ports6",
		"ct status dnat meta nfproto ipv4 ip saddr . ip daddr @hairpin4 snat ip to 192.168.9.1 fully-random",
		"meta nfproto ipv4 ip daddr 10.43.0.0/16 meta l4proto tcp reject with tcp reset",
		`meta nfproto ipv4 ip daddr 127.0.0.0/8 iifname != "lo" ct state new drop`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the base lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// draw makes a random service with slices.
func draw(rt *rapid.T, name string) (*corev1.Service, []*discoveryv1.EndpointSlice) {
	pick := func(label string, options ...string) string { return rapid.SampledFrom(options).Draw(rt, label) }
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default",
		CreationTimestamp: metav1.NewTime(time.Unix(int64(rapid.IntRange(0, 2).Draw(rt, "age")), 0)),
	}}
	svc.Spec.ClusterIP = pick("ip", "None", "10.43.0.10", "10.43.0.20", "10.43.0.21", "10.43.0.22")
	if pick("dual", "y", "n") == "y" && svc.Spec.ClusterIP != "None" {
		svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP, pick("ip6", "fd43::20", "fd43::21")}
	}
	svc.Spec.Ports = []corev1.ServicePort{{
		Name: "p", Port: int32(rapid.IntRange(80, 81).Draw(rt, "port")), Protocol: corev1.Protocol(pick("proto", "TCP", "UDP")),
		NodePort: int32(rapid.SampledFrom([]int{0, 30080, 30081}).Draw(rt, "nodePort")),
	}}
	if ip := pick("external", "", "198.51.100.7", "198.51.100.8"); ip != "" {
		svc.Spec.ExternalIPs = []string{ip}
	}
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(pick("etp", "Cluster", "Local"))
	itp := corev1.ServiceInternalTrafficPolicy(pick("itp", "Cluster", "Local"))
	svc.Spec.InternalTrafficPolicy = &itp
	svc.Spec.SessionAffinity = corev1.ServiceAffinity(pick("affinity", "None", "ClientIP"))
	if pick("lb", "y", "n") == "y" {
		svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: pick("lbip", "198.51.100.9", "2001:db8::9")}}
		svc.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
	}
	var out []*discoveryv1.EndpointSlice
	for _, typ := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		s := &discoveryv1.EndpointSlice{AddressType: typ, ObjectMeta: metav1.ObjectMeta{
			Name: name + string(typ), Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: name},
		}}
		port, proto, pname := int32(8080), svc.Spec.Ports[0].Protocol, "p"
		s.Ports = []discoveryv1.EndpointPort{{Name: &pname, Port: &port, Protocol: &proto}}
		for range rapid.IntRange(0, 3).Draw(rt, "endpoints") {
			n := rapid.IntRange(1, 4).Draw(rt, "host")
			addr := fmt.Sprintf("10.42.%d.7", n)
			if typ == discoveryv1.AddressTypeIPv6 {
				addr = fmt.Sprintf("fd42::%d", n)
			}
			ready, node := rapid.Bool().Draw(rt, "ready"), fmt.Sprintf("n%d", n)
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{addr}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{
					Ready: &ready, Serving: ptr(rapid.Bool().Draw(rt, "serving")), Terminating: ptr(!ready),
				},
			})
		}
		out = append(out, s)
	}
	return svc, out
}

func ptr[T any](v T) *T { return &v }

// TestIncrementalEqualsWhole draws a sequence of worlds: a tracker that went through all of them has the same table as one that
// only saw the last, and its changes, applied one by one, lead there too. No element points to a chain that is not there.
func TestIncrementalEqualsWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := NewTracker(settings(), thisNode())
		kernel := base(settings(), thisNode())
		var svcs []*corev1.Service
		var all []*discoveryv1.EndpointSlice
		for range rapid.IntRange(1, 5).Draw(rt, "worlds") {
			svcs, all = nil, nil
			for _, name := range []string{"a", "b", "c"} {
				if rapid.Bool().Draw(rt, "there") {
					svc, s := draw(rt, name)
					svcs, all = append(svcs, svc), append(all, s...)
				}
			}
			update(tr, svcs, all)
			change, _ := tr.Take()
			check(rt, kernel, change)
			change.Apply(kernel)
		}
		whole := NewTracker(settings(), thisNode())
		update(whole, svcs, all)
		whole.Take()
		if got, want := tr.Table().String(), whole.Table().String(); got != want {
			rt.Fatalf("incremental:\n%s\nwhole:\n%s", got, want)
		}
		if got, want := kernel.String(), whole.Table().String(); got != want {
			rt.Fatalf("changes lead to:\n%s\nwant:\n%s", got, want)
		}
		for _, m := range kernel.Elements {
			for _, e := range m {
				if _, ok := kernel.Chains[e.Goto]; e.Goto != "" && !ok {
					rt.Fatalf("an element leads to the missing chain %s", e.Goto)
				}
			}
		}
	})
}

// check holds a change against the table as the kernel would: what is removed must be there, what is added must not.
func check(rt *rapid.T, kernel *nft.Table, c *nft.Change) {
	for set, es := range c.Removed {
		for _, e := range es {
			if kernel.Elements[set][e.Key] != e {
				rt.Fatalf("the change removes an element of %s that is not there", set)
			}
		}
	}
	for set, es := range c.Added {
		for _, e := range es {
			_, there := kernel.Elements[set][e.Key]
			removed := slices.ContainsFunc(c.Removed[set], func(r nft.Element) bool { return r.Key == e.Key })
			if there && !removed {
				rt.Fatalf("the change adds an element of %s that is there", set)
			}
		}
	}
	for _, name := range c.Gone {
		if _, ok := kernel.Chains[name]; !ok {
			rt.Fatalf("the change deletes the missing chain %s", name)
		}
	}
}

func TestStaleFlows(t *testing.T) {
	tr := NewTracker(settings(), thisNode())
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}}
	svc.Spec.ClusterIP = "10.43.0.20"
	svc.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP, NodePort: 30053}}
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	slice.Ports = []discoveryv1.EndpointPort{{Port: ptr(int32(5353)), Protocol: ptr(corev1.ProtocolUDP)}}
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.42.0.7"}}}
	tr.Update("default/d", svc, []*discoveryv1.EndpointSlice{slice})
	_, e := tr.Take()
	stale := tr.StaleFlow(e.UDP)
	at := func(ip string, port uint16) Backend { return Backend{netip.MustParseAddr(ip), port} }
	for _, c := range []struct {
		name string
		flow Flow
		want bool
	}{
		{"to the endpoint", Flow{at("10.43.0.20", 53), at("10.42.0.7", 5353)}, false},
		{"to a former endpoint", Flow{at("10.43.0.20", 53), at("10.42.0.8", 5353)}, true},
		{"never translated", Flow{at("10.43.0.20", 53), at("10.43.0.20", 53)}, true},
		{"node port to a former endpoint", Flow{at("192.168.9.1", 30053), at("10.42.0.8", 5353)}, true},
		{"node port to the endpoint", Flow{at("192.168.9.1", 30053), at("10.42.0.7", 5353)}, false},
		{"someone else's port", Flow{at("192.0.2.1", 30053), at("192.0.2.1", 30053)}, false},
		{"another service", Flow{at("10.43.0.21", 53), at("10.42.0.8", 5353)}, false},
	} {
		if got := stale(c.flow); got != c.want {
			t.Errorf("%s: stale is %v", c.name, got)
		}
	}
	tr.Update("default/d", nil, nil)
	_, e = tr.Take()
	if stale := tr.StaleFlow(e.UDP); !stale(Flow{at("10.43.0.20", 53), at("10.42.0.7", 5353)}) {
		t.Error("a deleted service's connection is not stale")
	}
}
