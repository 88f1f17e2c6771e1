package alloc

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

var nodePorts = PortRange{First: 30000, Last: 32767}

func first(uint64) uint64 { return 0 }

func parse(t *testing.T, text string) *corev1.Service {
	t.Helper()
	s := &corev1.Service{}
	if err := yaml.UnmarshalStrict([]byte("metadata: {namespace: n, name: s}\nspec: "+text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreate(t *testing.T) {
	const one, two = "10.0.0.0/24", "fd00::/112"
	cases := []struct {
		name, cidrs, spec, want, err string
	}{
		{
			"plain", one, `{type: ClusterIP}`,
			`{type: ClusterIP, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}`, "",
		},
		{
			"asked", one, `{type: ClusterIP, clusterIP: 10.0.0.9}`,
			`{type: ClusterIP, clusterIP: 10.0.0.9, clusterIPs: [10.0.0.9], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}`, "",
		},
		{
			"taken", one, `{type: ClusterIP, clusterIP: 10.0.0.2}`, "",
			`Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.0.0.2"]: failed to allocate IP 10.0.0.2: provided IP is already allocated`,
		},
		{"outside", one, `{type: ClusterIP, clusterIP: 10.1.0.2}`, "", "the provided network does not match the current range"},
		{
			"the network", one, `{type: ClusterIP, clusterIP: 10.0.0.0}`, "",
			"the provided IP (10.0.0.0) is not in the valid range. The range of valid IPs is 10.0.0.0/24",
		},
		{"broadcast", one, `{type: ClusterIP, clusterIP: 10.0.0.255}`, "", "is not in the valid range"},
		{"nonsense", one, `{type: ClusterIP, clusterIP: x}`, "", "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address"},
		{"plural only", one, `{type: ClusterIP, clusterIPs: [10.0.0.9]}`, "", "must be empty when `clusterIP` is not specified"},
		{"unequal", one, `{type: ClusterIP, clusterIP: 10.0.0.8, clusterIPs: [10.0.0.9]}`, "", "first value must match `clusterIP`"},
		{
			"headless", one, `{type: ClusterIP, clusterIP: None, selector: {a: b}}`,
			`{type: ClusterIP, clusterIP: None, clusterIPs: [None], selector: {a: b}, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}`, "",
		},
		{
			"bare", one, `{type: ClusterIP, clusterIP: None}`,
			`{type: ClusterIP, clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack}`, "",
		},
		{"external", one, `{type: ExternalName, externalName: x.y}`, `{type: ExternalName, externalName: x.y}`, ""},
		{"other family", one, `{type: ClusterIP, ipFamilies: [IPv6]}`, "", `spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`},
		{"both on one", one, `{type: ClusterIP, ipFamilyPolicy: RequireDualStack}`, "", "this cluster is not configured for dual-stack services"},
		{
			"preferred on one", one, `{type: ClusterIP, ipFamilyPolicy: PreferDualStack}`,
			`{type: ClusterIP, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: PreferDualStack}`, "",
		},
		{
			"both", one + " " + two, `{type: ClusterIP, ipFamilyPolicy: RequireDualStack}`,
			`{type: ClusterIP, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17, "fd00::101"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack}`, "",
		},
		{
			"both, IPv6 first", one + " " + two, `{type: ClusterIP, ipFamilies: [IPv6], ipFamilyPolicy: PreferDualStack}`,
			`{type: ClusterIP, clusterIP: "fd00::101", clusterIPs: ["fd00::101", 10.0.0.17], ipFamilies: [IPv6, IPv4], ipFamilyPolicy: PreferDualStack}`, "",
		},
		{
			"two addresses, one family", one + " " + two, `{type: ClusterIP, clusterIP: 10.0.0.8, clusterIPs: [10.0.0.8, 10.0.0.9], ipFamilyPolicy: RequireDualStack}`,
			"", "may specify no more than one IP for each IP family",
		},
		{
			"two addresses, single policy", one + " " + two, `{type: ClusterIP, clusterIP: 10.0.0.8, clusterIPs: [10.0.0.8, "fd00::8"]}`,
			"", "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
		},
		{
			"family unlike address", one + " " + two, `{type: ClusterIP, clusterIP: 10.0.0.8, ipFamilies: [IPv6]}`, "",
			"expected an IPv6 value as indicated by `ipFamilies[0]`",
		},
		{
			"node port", one, `{type: NodePort, ports: [{port: 80, protocol: TCP}, {port: 80, protocol: UDP}, {port: 81, protocol: TCP}]}`,
			`{type: NodePort, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [
			{port: 80, protocol: TCP, nodePort: 30086}, {port: 80, protocol: UDP, nodePort: 30086}, {port: 81, protocol: TCP, nodePort: 30087}]}`, "",
		},
		{
			"asked node port", one, `{type: NodePort, ports: [{port: 80, protocol: TCP, nodePort: 30000}]}`,
			`{type: NodePort, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80, protocol: TCP, nodePort: 30000}]}`, "",
		},
		{
			"taken node port", one, `{type: NodePort, ports: [{port: 80, protocol: TCP, nodePort: 30001}]}`, "",
			`spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated`,
		},
		{
			"node port outside", one, `{type: NodePort, ports: [{port: 80, protocol: TCP, nodePort: 80}]}`, "",
			"provided port is not in the valid range. The range of valid ports is 30000-32767",
		},
		{
			"balancer without node ports", one, `{type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80, protocol: TCP}]}`,
			`{type: LoadBalancer, allocateLoadBalancerNodePorts: false, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80, protocol: TCP}]}`, "",
		},
		{
			"health check", one, `{type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, protocol: TCP}]}`,
			`{type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30087, clusterIP: 10.0.0.17, clusterIPs: [10.0.0.17], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80, protocol: TCP, nodePort: 30086}]}`, "",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, first)
			s := w.server(nodePorts, strings.Fields(c.cidrs)...)
			other := parse(t, `{type: NodePort, clusterIP: 10.0.0.2, ports: [{port: 1, protocol: TCP, nodePort: 30001}]}`)
			other.Name = "other"
			if err := w.write(s, other, nil, nil); err != nil {
				t.Fatal(err)
			}
			err := w.write(s, parse(t, c.spec), nil, nil)
			if c.err != "" {
				if err == nil || !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.check(nodePorts)
			got := w.services()[1]
			if have, want := asYAML(t, clean(got)), asYAML(t, clean(parse(t, c.want))); have != want {
				t.Fatalf("stored:\n%s\nwant:\n%s", have, want)
			}
		})
	}
}

// clean takes out what defaulting fills in when the store is read.
func clean(s *corev1.Service) *corev1.ServiceSpec {
	spec := s.Spec.DeepCopy()
	spec.SessionAffinity, spec.SessionAffinityConfig, spec.InternalTrafficPolicy = "", nil, nil
	if spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyCluster {
		spec.ExternalTrafficPolicy = ""
	}
	if a := spec.AllocateLoadBalancerNodePorts; a != nil && *a {
		spec.AllocateLoadBalancerNodePorts = nil
	}
	for i := range spec.Ports {
		spec.Ports[i].TargetPort.IntVal = 0
	}
	return spec
}

func asYAML(t *testing.T, obj any) string {
	t.Helper()
	data, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUpdate(t *testing.T) {
	cases := []struct {
		name, from string
		change     func(*corev1.Service)
		want       func(*corev1.Service) bool
		err        string
	}{
		{"forget all", `{type: NodePort, ports: [{name: a, port: 80, protocol: TCP}]}`, func(s *corev1.Service) {
			s.Spec.ClusterIP, s.Spec.ClusterIPs, s.Spec.Ports[0].NodePort = "", nil, 0
		}, func(s *corev1.Service) bool {
			return s.Spec.ClusterIP == "10.0.0.17" && s.Spec.Ports[0].NodePort == 30086
		}, ""},
		{"another address", `{type: ClusterIP}`, func(s *corev1.Service) { s.Spec.ClusterIP = "10.0.0.9" }, nil, "may not change once set"},
		{"to headless", `{type: ClusterIP}`, func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, nil, "may not change once set"},
		{"to a name", `{type: ClusterIP}`, func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ClusterIP, s.Spec.ClusterIPs, s.Spec.IPFamilies = corev1.ServiceTypeExternalName, "", nil, nil
		}, func(s *corev1.Service) bool { return s.Spec.ClusterIP == "" }, ""},
		{
			"from a name", `{type: ExternalName}`, func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP },
			func(s *corev1.Service) bool { return s.Spec.ClusterIP == "10.0.0.17" }, "",
		},
		{"to two families", `{type: ClusterIP}`, func(s *corev1.Service) {
			p := corev1.IPFamilyPolicyRequireDualStack
			s.Spec.IPFamilyPolicy = &p
		}, func(s *corev1.Service) bool {
			return len(s.Spec.ClusterIPs) == 2 && s.Spec.ClusterIPs[0] == "10.0.0.17"
		}, ""},
		{"to one family", `{type: ClusterIP, ipFamilyPolicy: RequireDualStack}`, func(s *corev1.Service) {
			p := corev1.IPFamilyPolicySingleStack
			s.Spec.IPFamilyPolicy = &p
		}, func(s *corev1.Service) bool { return len(s.Spec.ClusterIPs) == 1 && len(s.Spec.IPFamilies) == 1 }, ""},
		{"to one family, unsaid", `{type: ClusterIP, ipFamilyPolicy: RequireDualStack}`, func(s *corev1.Service) {
			s.Spec.ClusterIPs = s.Spec.ClusterIPs[:1]
		}, nil, "must be 'SingleStack' to release the secondary cluster IP"},
		{"no node ports any more", `{type: NodePort, ports: [{port: 80, protocol: TCP}]}`, func(s *corev1.Service) {
			s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeClusterIP, 0
		}, func(s *corev1.Service) bool { return s.Spec.Ports[0].NodePort == 0 }, ""},
		{"ports change places", `{type: NodePort, ports: [{name: a, port: 80, protocol: TCP}, {name: b, port: 81, protocol: TCP}]}`, func(s *corev1.Service) {
			s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort = s.Spec.Ports[1].NodePort, s.Spec.Ports[0].NodePort
		}, func(s *corev1.Service) bool {
			return s.Spec.Ports[0].NodePort == 30087 && s.Spec.Ports[1].NodePort == 30086
		}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, first)
			s := w.server(nodePorts, "10.0.0.0/24", "fd00::/112")
			if err := w.write(s, parse(t, c.from), nil, nil); err != nil {
				t.Fatal(err)
			}
			old := w.services()[0]
			changed := old.DeepCopy()
			c.change(changed)
			err := w.write(s, changed, old, nil)
			w.check(nodePorts)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || !c.want(w.services()[0]) {
				t.Fatalf("error %v, stored:\n%s", err, asYAML(t, w.services()[0].Spec))
			}
		})
	}
}

func TestFullRanges(t *testing.T) {
	w := newWorld(t, first)
	s := w.server(PortRange{First: 30000, Last: 30001}, "10.0.0.0/30")
	create := func(name, spec string) error {
		service := parse(t, spec)
		service.Name = name
		return w.write(s, service, nil, nil)
	}
	for _, name := range []string{"a", "b"} {
		if err := create(name, `{type: NodePort, ports: [{port: 80, protocol: TCP}]}`); err != nil {
			t.Fatal(err)
		}
	}
	err := create("c", `{type: ClusterIP}`)
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), `failed to allocate a serviceIP for Service "c": range is full`) {
		t.Errorf("addresses: %v", err)
	}
	err = create("d", `{type: NodePort, clusterIP: None, ports: [{port: 80, protocol: TCP}]}`)
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed to allocate a nodePort: range is full") {
		t.Errorf("node ports: %v", err)
	}
	w.check(PortRange{First: 30000, Last: 30001})
}

func TestServiceCIDRsAddRanges(t *testing.T) {
	w := newWorld(t, first)
	s := w.server(nodePorts, "10.0.0.0/30")
	cidr := &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.7.0.0/24"}},
	}
	w.client.Load(cidr)
	if err := w.write(s, parse(t, `{type: ClusterIP, clusterIP: 10.7.0.3}`), nil, nil); err == nil {
		t.Error("an address of a range that is not ready was given")
	}
	cidr.Status.Conditions = []metav1.Condition{{Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue}}
	w.client.Load(cidr)
	if err := w.write(s, parse(t, `{type: ClusterIP, clusterIP: 10.7.0.3}`), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestRepair(t *testing.T) {
	w := newWorld(t, first)
	s := w.server(nodePorts, "10.0.0.0/24")
	if err := w.write(s, parse(t, `{type: NodePort, ports: [{port: 80, protocol: TCP}]}`), nil, nil); err != nil {
		t.Fatal(err)
	}
	cache, err := w.client.Cache(client.Selection{Resource: kinds.Services()})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := s.Repair(context.Background(), cache); err != nil || report.Restored+report.Released > 0 || report.Ports {
		t.Fatalf("something was repaired in a sound world: %+v %v", report, err)
	}
	// The address is lost, another leaked, a third is young, a fourth is someone else's; the ports are wrong.
	w.client.Remove(kinds.IPAddresses(), "", "10.0.0.17")
	address := func(name, by string, age metav1.Time) {
		w.client.Load(&networkingv1.IPAddress{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: age, Labels: map[string]string{networkingv1.LabelManagedBy: by}},
			Spec:       networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: "n", Name: "gone"}},
		})
	}
	old := metav1.NewTime(w.now.Add(-2 * leakGrace))
	address("10.0.0.50", managedBy, old)
	address("10.0.0.51", managedBy, metav1.NewTime(w.now))
	address("10.0.0.52", "someone", old)
	w.apply(mustPortStep(t, s, 30500))
	report, err := s.Repair(context.Background(), cache)
	if err != nil || report.Restored != 1 || report.Released != 1 || !report.Ports {
		t.Fatalf("report %+v, error %v", report, err)
	}
	for name, want := range map[string]bool{"10.0.0.17": true, "10.0.0.50": false, "10.0.0.51": true, "10.0.0.52": true} {
		if _, err := w.client.Get(context.Background(), kinds.IPAddresses(), "", name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.client.Remove(kinds.IPAddresses(), "", "10.0.0.51")
	w.client.Remove(kinds.IPAddresses(), "", "10.0.0.52")
	w.check(nodePorts)
}

// mustPortStep makes the step that leaks a node port and loses all others.
func mustPortStep(t *testing.T, s *Services, port int) store.Op {
	t.Helper()
	taken, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	taken.view.ports = newPortMap(nodePorts, nil)
	if err := taken.view.ports.take(port); err != nil {
		t.Fatal(err)
	}
	step, _, err := s.portStep(taken)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func TestBands(t *testing.T) {
	r := newRange(netip.MustParsePrefix("10.0.0.0/24"))
	if r.size != 254 || r.static != 16 {
		t.Fatalf("%+v", r)
	}
	used := map[netip.Addr]bool{}
	var order []netip.Addr
	for {
		a, ok := r.pick(func(a netip.Addr) bool { return used[a] }, func(n uint64) uint64 { return n / 2 })
		if !ok {
			break
		}
		if used[a] || !r.contains(a) {
			t.Fatalf("%s was given twice or is outside", a)
		}
		used[a] = true
		order = append(order, a)
	}
	if len(order) != 254 {
		t.Fatalf("%d addresses", len(order))
	}
	for i, a := range order {
		inBand := !addTo(r.first, r.static-1).Less(a)
		if inBand != (i >= 238) {
			t.Fatalf("address %d is %s", i, a)
		}
	}
	for prefix, size := range map[string]uint64{"10.0.0.0/32": 0, "10.0.0.0/31": 0, "10.0.0.0/30": 2, "fd00::/128": 0, "fd00::/64": 1<<64 - 2, "10.0.0.0/12": 1<<20 - 2} {
		if got := newRange(netip.MustParsePrefix(prefix)).size; got != size {
			t.Errorf("%s: %d addresses, want %d", prefix, got, size)
		}
	}
	wide := newRange(netip.MustParsePrefix("fd00::/64"))
	if last := addTo(wide.first, wide.size-1); !wide.prefix.Contains(last) || !wide.contains(last) {
		t.Errorf("last address %s", last)
	}
}
