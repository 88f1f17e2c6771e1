package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"coracle.dev/coracle/internal/network/nft"
)

// labelProxyName hands a service to another proxy; labelHeadless marks what no proxy serves.
const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	labelHeadless  = corev1.IsHeadlessService
)

// Program is what one service contributes.
type Program struct {
	Fragment nft.Fragment
	// UDP are the addresses by which the service is reached over UDP, with where connections may lead: entries of the
	// connection tracking that lead elsewhere are stale.
	UDP map[Frontend][]Backend
	// Affinity are the addresses whose clients are remembered, with the endpoints that may be remembered.
	Affinity map[Clients][]Backend
	// HealthPort is the node port on which load balancers ask for local endpoints, 0 for none; Local is their number.
	HealthPort, Local int
}

// Clients are the remembered clients of one address: the elements of the set whose key begins so.
type Clients struct {
	Set string
	Key nft.Tuple
}

// Frontend is an address a service is reached at. An invalid IP means the node's own addresses.
type Frontend struct {
	IP   netip.Addr
	Port uint16
	V6   bool
}

// Served tells whether this proxy serves a service.
func Served(svc *corev1.Service, s Settings) bool {
	switch {
	case svc == nil, svc.Spec.Type == corev1.ServiceTypeExternalName:
		return false
	case svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return false
	}
	if _, other := svc.Labels[labelProxyName]; other {
		return false
	}
	if _, headless := svc.Labels[labelHeadless]; headless {
		return false
	}
	// Its address is answered by the machine itself, such as the cluster's DNS.
	ip, err := netip.ParseAddr(svc.Spec.ClusterIP)
	return err == nil && !slices.Contains(s.LocalIPs, ip)
}

// Compile decides what a service contributes to the table. Pure.
func Compile(s Settings, node Node, svc *corev1.Service, endpoints []*discoveryv1.EndpointSlice) Program {
	p := Program{UDP: map[Frontend][]Backend{}, Affinity: map[Clients][]Backend{}}
	if !Served(svc, s) {
		return p
	}
	p.Fragment.Age = svc.CreationTimestamp.Unix()
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		for _, f := range []nft.Family{nft.IP, nft.IP6} {
			if !hasFamily(svc, f) {
				continue
			}
			c := compiler{s: s, node: node, svc: svc, port: port, f: f, out: &p}
			c.pools = choose(node, port, endpoints, f)
			c.run()
			if f == nft.IP || len(svc.Spec.ClusterIPs) < 2 {
				p.Local = max(p.Local, len(c.pools.local))
			}
		}
	}
	if externalLocal(svc) && svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		p.HealthPort = int(svc.Spec.HealthCheckNodePort)
	}
	return p
}

func hasFamily(svc *corev1.Service, f nft.Family) bool {
	return slices.ContainsFunc(clusterIPs(svc), func(ip netip.Addr) bool { return nft.FamilyOf(ip) == f })
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	texts := svc.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{svc.Spec.ClusterIP}
	}
	return parseAll(texts)
}

func parseAll(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, ip.Unmap())
		}
	}
	return out
}

func externalLocal(svc *corev1.Service) bool {
	return svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func internalLocal(svc *corev1.Service) bool {
	return svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
}

// compiler works on one port of one service in one family.
type compiler struct {
	s     Settings
	node  Node
	svc   *corev1.Service
	port  *corev1.ServicePort
	f     nft.Family
	pools pools
	out   *Program
}

func (c *compiler) proto() uint8 {
	switch c.port.Protocol {
	case corev1.ProtocolUDP:
		return 17
	case corev1.ProtocolSCTP:
		return 132
	default:
		return 6
	}
}

func (c *compiler) run() {
	for b := range c.pools.own {
		if slices.ContainsFunc(c.pools.cluster, func(x Backend) bool { return x.IP == b }) ||
			slices.ContainsFunc(c.pools.local, func(x Backend) bool { return x.IP == b }) {
			c.put(setHairpin, nft.Element{Key: nft.Tuple("").Addr(b).Addr(b)})
		}
	}
	inside := route{shape: shape{f: c.f}, targets: c.pools.cluster}
	if internalLocal(c.svc) {
		inside.targets, inside.drop = c.pools.local, c.pools.any
	}
	inside.all, inside.timeout = len(inside.targets), timeout(c.svc)
	for _, ip := range clusterIPs(c.svc) {
		if nft.FamilyOf(ip) == c.f {
			c.front(ip, inside)
		}
	}
	c.external()
}

// external places the addresses that are reached from outside: external IPs, load balancers, node ports.
func (c *compiler) external() {
	r := route{shape: shape{f: c.f, mark: true, all: len(c.pools.cluster), timeout: timeout(c.svc)}, targets: c.pools.cluster}
	if externalLocal(c.svc) {
		// Pods and the node itself always may use every endpoint; strangers need a local one.
		r.split, r.local = true, len(c.pools.local)
		r.targets = slices.Concat(c.pools.cluster, c.pools.local)
	}
	for _, ip := range c.mine(parseAll(c.svc.Spec.ExternalIPs)) {
		c.front(ip, r)
	}
	guarded := r
	guarded.ranges = c.svc.Spec.LoadBalancerSourceRanges
	for _, ip := range c.mine(balancerIPs(c.svc)) {
		c.front(ip, guarded)
	}
	if c.port.NodePort > 0 && c.port.NodePort < 65536 {
		r.node = true
		c.place(nft.Tuple("").Proto(c.proto()).Port(uint16(c.port.NodePort)), r)
		c.udp(Frontend{Port: uint16(c.port.NodePort), V6: bool(c.f)}, r.targets)
	}
}

// route is where connections to an address may go: the targets, and the shape of the chain that chooses among them.
type route struct {
	shape
	targets []Backend // those of every node, then those of this node for a split shape
	// drop: without targets packets are dropped instead of rejected, since other nodes have some.
	drop bool
	// ranges, when not empty, are the only sources that may connect.
	ranges []string
}

func (c *compiler) front(ip netip.Addr, r route) {
	c.place(nft.Tuple("").Addr(ip).Proto(c.proto()).Port(uint16(c.port.Port)), r)
	c.udp(Frontend{IP: ip, Port: uint16(c.port.Port), V6: bool(c.f)}, r.targets)
}

// place puts an address into the verdict map with its endpoints, or without any among the rejected or dropped ones.
func (c *compiler) place(key nft.Tuple, r route) {
	sets := r.sets()
	switch {
	case len(r.targets) == 0 && r.drop:
		c.put(setDrop, nft.Element{Key: key})
		return
	case len(r.targets) == 0:
		c.put(sets.reject, nft.Element{Key: key})
		return
	}
	for i, b := range r.targets {
		c.put(sets.endpoints, nft.Element{Key: key.Word(uint32(i)), Data: nft.Tuple("").Addr(b.IP).Port(b.Port)})
	}
	if r.timeout > 0 {
		c.out.Affinity[Clients{sets.affinity + c.f.Suffix(), key}] = r.targets
	}
	r.claim(&c.out.Fragment, c.s)
	chain := r.name()
	if len(r.ranges) > 0 {
		chain = c.guard(r, chain)
	}
	c.put(sets.services, nft.Element{Key: key, Goto: chain})
}

// guard makes the chain that lets only some sources go on to the next chain.
func (c *compiler) guard(r route, next string) string {
	proto := strings.ToLower(string(cmp.Or(c.port.Protocol, corev1.ProtocolTCP)))
	name := strings.Join([]string{"guard", c.f.String(), c.svc.Namespace, c.svc.Name, proto, fmt.Sprint(c.port.Port)}, "/")
	if c.out.Fragment.Has(name) {
		return name
	}
	var rules []nft.Rule
	for _, p := range c.f.Of(parsePrefixes(r.ranges)) {
		rules = append(rules, nft.NewRule(nft.Within(c.f.Saddr(), p), nft.Goto(next)))
	}
	c.out.Fragment.Chain(name, append(rules, nft.NewRule(nft.Drop()))...)
	return name
}

func (c *compiler) put(set string, e nft.Element) { c.out.Fragment.Put(set+c.f.Suffix(), e) }

func (c *compiler) udp(front Frontend, targets []Backend) {
	if c.proto() == 17 {
		c.out.UDP[front] = append(c.out.UDP[front], targets...)
	}
}

// balancerIPs are the addresses of load balancers whose packets arrive with that address as destination.
func balancerIPs(svc *corev1.Service) []netip.Addr {
	var out []string
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" && (in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP) {
			out = append(out, in.IP)
		}
	}
	return parseAll(out)
}

// mine keeps addresses of the compiler's family that are not answered by the machine itself.
func (c *compiler) mine(ips []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(ips, func(ip netip.Addr) bool {
		return nft.FamilyOf(ip) != c.f || slices.Contains(c.s.LocalIPs, ip)
	})
}

func parsePrefixes(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		if p, err := netip.ParsePrefix(strings.TrimSpace(s)); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// timeout is how long a client is remembered; 0 for not at all.
func timeout(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
	if a := svc.Spec.SessionAffinityConfig; a != nil && a.ClientIP != nil && a.ClientIP.TimeoutSeconds != nil {
		seconds = max(0, *a.ClientIP.TimeoutSeconds)
	}
	return time.Duration(seconds) * time.Second
}
