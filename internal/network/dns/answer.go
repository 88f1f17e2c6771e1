package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// View is what answers are made from.
type View interface {
	// Service returns a service's entry, or nil.
	Service(namespace, name string) *Entry
	// Namespace tells whether a namespace has names.
	Namespace(name string) bool
	// Pointers returns the names of an address, below the zone, with a final dot.
	Pointers(ip netip.Addr) []string
	// Serial grows with every change.
	Serial() uint32
}

// Zone is what the server is the authority for.
type Zone struct {
	// Domain is the cluster's domain in lower case, fully qualified, such as "cluster.local.".
	Domain string
	// Reverse are the ranges whose addresses have their names here and nowhere else: pods and services.
	Reverse []netip.Prefix
	// Servers are the addresses this server answers at.
	Servers []netip.Addr
	// TTL of all records, in seconds.
	TTL uint32
}

// SchemaVersion is the version of the specification that names follow.
const SchemaVersion = "1.1.0"

// maxChain bounds how many aliases within the zone are followed.
const maxChain = 8

// Result is the answer to a question.
type Result struct {
	// Outside: the name is not ours, somebody else knows it.
	Outside bool
	// Chase is an alias's target outside of the zone, whose records belong into the answer as well.
	Chase string
	Rcode int
	// Answer, Authority and Extra are a message's sections.
	Answer, Authority, Extra []dns.RR
}

// Answer answers a question of class IN. Owner names in the answer keep the question's spelling. Pure.
func Answer(v View, z Zone, q dns.Question) Result {
	name := strings.ToLower(q.Name)
	switch {
	case name == z.Domain, strings.HasSuffix(name, "."+z.Domain):
		a := &answering{v: v, z: z, q: q, apex: z.Domain}
		a.forward(name, 0)
		return a.finish()
	case strings.HasSuffix(name, ".arpa."):
		return reverse(v, z, q, name)
	}
	return Result{Outside: true}
}

type answering struct {
	v    View
	z    Zone
	q    dns.Question
	apex string
	r    Result
	// exists: the name has records of some type, or names below it.
	exists bool
}

// finish adds what a negative answer needs: NXDOMAIN for names that do not exist, and the SOA, by which it is cached.
func (a *answering) finish() Result {
	if len(a.r.Answer) == 0 && a.r.Rcode == dns.RcodeSuccess {
		if !a.exists {
			a.r.Rcode = dns.RcodeNameError
		}
		a.r.Authority = []dns.RR{a.soa()}
	}
	return a.r
}

func (a *answering) header(name string, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: a.z.TTL}
}

func (a *answering) soa() dns.RR {
	return &dns.SOA{
		Hdr: a.header(a.apex, dns.TypeSOA), Ns: "ns.dns." + a.z.Domain, Mbox: "hostmaster." + a.z.Domain, Serial: a.v.Serial(),
		Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: a.z.TTL,
	}
}

// add adds a record when the question asks for its type.
func (a *answering) add(rr dns.RR) {
	a.exists = true
	if rr.Header().Rrtype == a.q.Qtype {
		a.r.Answer = append(a.r.Answer, rr)
	}
}

// addrs adds address records under the owner name.
func (a *answering) addrs(owner string, ips []netip.Addr) {
	a.exists = true
	for _, ip := range ips {
		a.add(a.addr(owner, ip))
	}
}

func (a *answering) addr(owner string, ip netip.Addr) dns.RR {
	if ip.Is4() {
		return &dns.A{Hdr: a.header(owner, dns.TypeA), A: ip.AsSlice()}
	}
	return &dns.AAAA{Hdr: a.header(owner, dns.TypeAAAA), AAAA: ip.AsSlice()}
}

// forward answers a name of the zone. Labels are matched from the right.
func (a *answering) forward(name string, depth int) {
	owner := a.q.Name
	if depth > 0 {
		owner = name
	}
	labels := dns.SplitDomainName(strings.TrimSuffix(name, a.z.Domain))
	slices.Reverse(labels)
	at := func(i int) string {
		if i < len(labels) {
			return labels[i]
		}
		return ""
	}
	switch {
	case len(labels) == 0:
		a.add(a.soa())
		a.add(&dns.NS{Hdr: a.header(owner, dns.TypeNS), Ns: "ns.dns." + a.z.Domain})
	case at(0) == "dns-version" && len(labels) == 1:
		a.add(&dns.TXT{Hdr: a.header(owner, dns.TypeTXT), Txt: []string{SchemaVersion}})
	case at(0) == "dns" && len(labels) == 1:
		a.exists = true
	case at(0) == "dns" && at(1) == "ns" && len(labels) == 2:
		a.addrs(owner, a.z.Servers)
	case at(0) == "pod":
		a.pod(owner, labels[1:])
	case at(0) == "svc":
		a.service(owner, labels[1:], depth)
	}
}

// pod answers a-b-c-d.namespace.pod names: they say their address themselves.
func (a *answering) pod(owner string, labels []string) {
	switch len(labels) {
	case 0:
		a.exists = true
	case 1:
		a.exists = a.v.Namespace(labels[0])
	case 2:
		if ip, ok := podIP(labels[1]); ok {
			a.addrs(owner, []netip.Addr{ip})
		}
	}
}

func podIP(label string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ".")); err == nil && ip.Is4() {
		return ip, true
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ":"))
	return ip, err == nil && ip.Is6() && !ip.Is4In6()
}

// service answers [namespace, name, host or _proto, _port].
func (a *answering) service(owner string, labels []string, depth int) {
	switch len(labels) {
	case 0:
		a.exists = true
		return
	case 1:
		a.exists = a.v.Namespace(labels[0])
		return
	}
	e := a.v.Service(labels[0], labels[1])
	if e == nil {
		return
	}
	switch {
	case e.External != "" && len(labels) == 2:
		a.alias(owner, e.External, depth)
	case e.External != "":
	case len(labels) == 2:
		a.addrs(owner, e.Addrs)
		a.srv(owner, e, "", "")
	case len(labels) == 3 && strings.HasPrefix(labels[2], "_"):
		proto := labels[2][1:]
		a.exists = slices.ContainsFunc(e.Ports, func(p Port) bool { return p.Proto == proto && p.Name != "" })
	case len(labels) == 3:
		if ips, ok := e.Hosts[labels[2]]; ok {
			a.addrs(owner, ips)
		}
	case len(labels) == 4 && strings.HasPrefix(labels[2], "_") && len(labels[3]) > 1 && labels[3][0] == '_':
		a.srv(owner, e, labels[3][1:], labels[2][1:])
	}
}

// alias answers for an ExternalName service: an alias, followed when its target is ours.
func (a *answering) alias(owner, target string, depth int) {
	a.exists = true
	a.r.Answer = append(a.r.Answer, &dns.CNAME{Hdr: a.header(owner, dns.TypeCNAME), Target: target})
	switch {
	case a.q.Qtype == dns.TypeCNAME:
	case depth >= maxChain: // most likely a circle
		a.r.Rcode, a.r.Answer = dns.RcodeServerFailure, nil
	case strings.HasSuffix(target, "."+a.z.Domain):
		a.forward(target, depth+1)
	default:
		a.r.Chase = target
	}
}

// srv adds service records: those of one named port, or of all ports when the name is empty.
func (a *answering) srv(owner string, e *Entry, port, proto string) {
	if port == "" && a.q.Qtype != dns.TypeSRV {
		return
	}
	base := e.Name + "." + e.Namespace + ".svc." + a.z.Domain
	glued := map[string]bool{}
	for _, p := range e.Ports {
		if port != "" && (p.Name != port || p.Proto != proto) {
			continue
		}
		a.exists = true
		targets := map[string][]netip.Addr{base: e.Addrs}
		if e.Headless {
			targets = map[string][]netip.Addr{}
			for _, h := range p.Hosts {
				targets[h+"."+base] = e.Hosts[h]
			}
		}
		for _, target := range slices.Sorted(maps.Keys(targets)) {
			a.add(&dns.SRV{
				Hdr: a.header(owner, dns.TypeSRV), Weight: uint16(max(1, 100/len(targets))), Port: p.Number, Target: target,
			})
			if a.q.Qtype != dns.TypeSRV || glued[target] {
				continue
			}
			glued[target] = true
			for _, ip := range targets[target] {
				a.r.Extra = append(a.r.Extra, a.addr(target, ip))
			}
		}
	}
}
