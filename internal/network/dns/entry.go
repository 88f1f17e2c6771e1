package dns

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Entry is what the names of one service lead to. Immutable.
type Entry struct {
	Namespace, Name string
	// External is the target of an ExternalName service, fully qualified; the other fields are empty then.
	External string
	// Addrs are the service's own addresses, or for a headless one those of its endpoints.
	Addrs    []netip.Addr
	Headless bool
	// Hosts are a headless service's endpoints by host name.
	Hosts map[string][]netip.Addr
	Ports []Port
}

// Port is a port of a service. For a headless service it is the port of the listed hosts.
type Port struct {
	Name, Proto string // lower case; unnamed ports have an empty name
	Number      uint16
	Hosts       []string
}

// Compile makes a service's entry; nil for a service without names. Pure.
func Compile(svc *corev1.Service, endpoints []*discoveryv1.EndpointSlice) *Entry {
	if svc == nil {
		return nil
	}
	e := &Entry{Namespace: svc.Namespace, Name: svc.Name}
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		e.External = strings.ToLower(strings.TrimSuffix(svc.Spec.ExternalName, ".")) + "."
		if e.External == "." {
			return nil
		}
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		e.headless(svc, endpoints)
	case svc.Spec.ClusterIP == "":
		return nil // not allocated yet
	default:
		texts := svc.Spec.ClusterIPs
		if len(texts) == 0 {
			texts = []string{svc.Spec.ClusterIP}
		}
		for _, s := range texts {
			if ip, err := netip.ParseAddr(s); err == nil {
				e.Addrs = append(e.Addrs, ip.Unmap())
			}
		}
		for _, p := range svc.Spec.Ports {
			e.Ports = append(e.Ports, Port{Name: strings.ToLower(p.Name), Proto: protoName(p.Protocol), Number: uint16(p.Port)})
		}
	}
	return e
}

func protoName(p corev1.Protocol) string {
	if p == "" {
		return "tcp"
	}
	return strings.ToLower(string(p))
}

// headless collects the ready endpoints. A service that publishes unready ones has them marked ready by its controller.
func (e *Entry) headless(svc *corev1.Service, all []*discoveryv1.EndpointSlice) {
	e.Headless, e.Hosts = true, map[string][]netip.Addr{}
	ports := map[portKey]map[string]bool{}
	for _, s := range all {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for i := range s.Endpoints {
			ep := &s.Endpoints[i]
			ready := ep.Conditions.Ready == nil || *ep.Conditions.Ready || svc.Spec.PublishNotReadyAddresses
			if !ready || len(ep.Addresses) == 0 {
				continue
			}
			ip, err := netip.ParseAddr(ep.Addresses[0])
			if err != nil {
				continue
			}
			host := hostOf(ep, ip.Unmap())
			e.Addrs = append(e.Addrs, ip.Unmap())
			e.Hosts[host] = append(e.Hosts[host], ip.Unmap())
			notePorts(ports, s, host)
		}
	}
	e.Addrs = unique(e.Addrs)
	for host, ips := range e.Hosts {
		e.Hosts[host] = unique(ips)
	}
	e.Ports = sortedPorts(ports)
}

// hostOf is the endpoint's host name, or one made of its address.
func hostOf(ep *discoveryv1.Endpoint, ip netip.Addr) string {
	if ep.Hostname != nil && *ep.Hostname != "" {
		return strings.ToLower(*ep.Hostname)
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(ip.String())
}

type portKey struct {
	name, proto string
	number      uint16
}

func notePorts(ports map[portKey]map[string]bool, s *discoveryv1.EndpointSlice, host string) {
	for _, p := range s.Ports {
		if p.Port == nil || *p.Port <= 0 || *p.Port > 65535 {
			continue
		}
		key := portKey{proto: "tcp", number: uint16(*p.Port)}
		if p.Name != nil {
			key.name = strings.ToLower(*p.Name)
		}
		if p.Protocol != nil {
			key.proto = protoName(*p.Protocol)
		}
		if ports[key] == nil {
			ports[key] = map[string]bool{}
		}
		ports[key][host] = true
	}
}

func sortedPorts(ports map[portKey]map[string]bool) []Port {
	out := make([]Port, 0, len(ports))
	for k, hosts := range ports {
		out = append(out, Port{Name: k.name, Proto: k.proto, Number: k.number, Hosts: slices.Sorted(maps.Keys(hosts))})
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Number, b.Number))
	})
	return out
}

func unique(ips []netip.Addr) []netip.Addr {
	slices.SortFunc(ips, netip.Addr.Compare)
	return slices.Compact(ips)
}

// Index finds entries by name and names by address. Safe for concurrent use.
type Index struct {
	mu         sync.RWMutex
	entries    map[string]*Entry
	namespaces map[string]int
	pointers   map[netip.Addr]map[string]string // address → service → name below the zone
	serial     uint32
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{
		entries: map[string]*Entry{}, namespaces: map[string]int{}, pointers: map[netip.Addr]map[string]string{}, serial: 1,
	}
}

// Set replaces the entry of a service ("namespace/name"); nil removes it.
func (x *Index) Set(key string, e *Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.serial++
	if old := x.entries[key]; old != nil {
		x.point(key, old, true)
		if x.namespaces[old.Namespace]--; x.namespaces[old.Namespace] == 0 {
			delete(x.namespaces, old.Namespace)
		}
		delete(x.entries, key)
	}
	if e != nil {
		x.entries[key] = e
		x.namespaces[e.Namespace]++
		x.point(key, e, false)
	}
}

// point adds or removes the reverse names of an entry.
func (x *Index) point(key string, e *Entry, remove bool) {
	suffix := e.Name + "." + e.Namespace + ".svc."
	set := func(ip netip.Addr, name string) {
		if remove {
			if delete(x.pointers[ip], key); len(x.pointers[ip]) == 0 {
				delete(x.pointers, ip)
			}
			return
		}
		if x.pointers[ip] == nil {
			x.pointers[ip] = map[string]string{}
		}
		x.pointers[ip][key] = name
	}
	if !e.Headless {
		for _, ip := range e.Addrs {
			set(ip, suffix)
		}
		return
	}
	for host, ips := range e.Hosts {
		for _, ip := range ips {
			set(ip, host+"."+suffix)
		}
	}
}

// Service implements View.
func (x *Index) Service(namespace, name string) *Entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries[namespace+"/"+name]
}

// Namespace implements View.
func (x *Index) Namespace(name string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.namespaces[name] > 0
}

// Pointers implements View.
func (x *Index) Pointers(ip netip.Addr) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []string
	for _, name := range x.pointers[ip] {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Serial implements View.
func (x *Index) Serial() uint32 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.serial
}
