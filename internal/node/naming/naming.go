package naming

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of hostnames and resolver configurations.
const (
	maxHostname   = 63
	maxFQDN       = 64
	maxServers    = 3
	maxSearches   = 32
	maxSearchSize = 2048
	ndots         = "ndots:5"
)

// Node is what the node says about names.
type Node struct {
	// Domain is the cluster's, such as cluster.local; Servers are its DNS servers.
	Domain  string
	Servers []string
	// Host is the node's own resolver configuration.
	Host Resolver
	// HostsFile is the content of the node's own /etc/hosts.
	HostsFile string
}

// Resolver is the content of a resolv.conf.
type Resolver struct {
	Servers, Searches, Options []string
}

// Host returns the pod's hostname and the domain below which it is known, if any.
func Host(p *v1.Pod, cluster string) (hostname, domain string) {
	if p.Spec.HostnameOverride != nil {
		return *p.Spec.HostnameOverride, ""
	}
	hostname = p.Name
	if p.Spec.Hostname != "" {
		hostname = p.Spec.Hostname
	}
	if len(hostname) > maxHostname {
		hostname = strings.TrimRight(hostname[:maxHostname], "-.")
	}
	if p.Spec.Subdomain != "" {
		domain = fmt.Sprintf("%s.%s.svc.%s", p.Spec.Subdomain, p.Namespace, cluster)
	}
	return hostname, domain
}

// Kernel returns the name that the kernel is told: the hostname, or the full name where the pod wants that.
func Kernel(p *v1.Pod, cluster string) (string, error) {
	hostname, domain := Host(p, cluster)
	if p.Spec.SetHostnameAsFQDN == nil || !*p.Spec.SetHostnameAsFQDN || domain == "" {
		return hostname, nil
	}
	full := hostname + "." + domain
	if len(full) > maxFQDN {
		return "", fmt.Errorf("failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long "+
			"(%d characters is the max, %d characters requested)", full, maxFQDN, len(full))
	}
	return full, nil
}

// HostsFile returns the pod's /etc/hosts.
func HostsFile(p *v1.Pod, ips []string, n Node) string {
	var b strings.Builder
	if p.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.WriteString(n.HostsFile)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n")
		b.WriteString("127.0.0.1\tlocalhost\n")
		b.WriteString("::1\tlocalhost ip6-localhost ip6-loopback\n")
		b.WriteString("fe00::0\tip6-localnet\n")
		b.WriteString("fe00::0\tip6-mcastprefix\n")
		b.WriteString("fe00::1\tip6-allnodes\n")
		b.WriteString("fe00::2\tip6-allrouters\n")
		hostname, domain := Host(p, n.Domain)
		for _, ip := range ips {
			if domain != "" {
				fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", ip, hostname, domain, hostname)
			} else {
				fmt.Fprintf(&b, "%s\t%s\n", ip, hostname)
			}
		}
	}
	if len(p.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, alias := range p.Spec.HostAliases {
			fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
		}
	}
	return b.String()
}

// DNS returns the pod's resolver configuration. Warnings are for an event about the pod.
func DNS(p *v1.Pod, n Node) (config *runtimeapi.DNSConfig, warnings []string) {
	r := Resolver{}
	policy := p.Spec.DNSPolicy
	if policy == v1.DNSClusterFirst && p.Spec.HostNetwork {
		policy = v1.DNSDefault
	}
	switch policy {
	case v1.DNSNone:
	case v1.DNSDefault:
		r = n.Host
	default:
		if len(n.Servers) == 0 {
			warnings = append(warnings, fmt.Sprintf("pod: %q. kubelet does not have ClusterDNS IP configured and cannot create "+
				"Pod using %q policy. Falling back to %q policy.", p.Name+"_"+p.Namespace, policy, v1.DNSDefault))
			r = n.Host
			break
		}
		r.Servers = n.Servers
		if n.Domain != "" {
			r.Searches = []string{p.Namespace + ".svc." + n.Domain, "svc." + n.Domain, n.Domain}
		}
		r.Searches = append(r.Searches, n.Host.Searches...)
		r.Options = []string{ndots}
	}
	if c := p.Spec.DNSConfig; c != nil {
		r.Servers = union(r.Servers, c.Nameservers)
		r.Searches = union(r.Searches, c.Searches)
		r.Options = options(r.Options, c.Options)
	}
	r.Searches = union(nil, r.Searches)
	if len(r.Servers) > maxServers {
		r.Servers = r.Servers[:maxServers]
		warnings = append(warnings, fmt.Sprintf("Nameserver limits were exceeded, some nameservers have been omitted, the "+
			"applied nameserver line is: %s", strings.Join(r.Servers, " ")))
	}
	for len(r.Searches) > maxSearches || len(strings.Join(r.Searches, " ")) > maxSearchSize {
		r.Searches = r.Searches[:len(r.Searches)-1]
		if len(r.Searches) <= maxSearches && len(strings.Join(r.Searches, " ")) <= maxSearchSize {
			warnings = append(warnings, "Search Line limits were exceeded, some search paths have been omitted, the "+
				"applied search line is: "+strings.Join(r.Searches, " "))
		}
	}
	return &runtimeapi.DNSConfig{Servers: r.Servers, Searches: r.Searches, Options: r.Options}, warnings
}

func union(a, b []string) []string {
	var out []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// options lets the pod's own options replace those of the same name.
func options(base []string, own []v1.PodDNSConfigOption) []string {
	out := slices.Clone(base)
	for _, o := range own {
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		i := slices.IndexFunc(out, func(s string) bool {
			name, _, _ := strings.Cut(s, ":")
			return name == o.Name
		})
		if i >= 0 {
			out[i] = text
		} else {
			out = append(out, text)
		}
	}
	return out
}

// ParseResolver reads a resolv.conf. The last search line wins, as for the C library.
func ParseResolver(text string) Resolver {
	var r Resolver
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") || strings.HasPrefix(fields[0], ";") {
			continue
		}
		switch {
		case fields[0] == "nameserver" && len(fields) > 1:
			r.Servers = append(r.Servers, fields[1])
		case fields[0] == "search":
			r.Searches = nil
			for _, s := range fields[1:] {
				if s != "." {
					s = strings.TrimSuffix(s, ".")
				}
				r.Searches = append(r.Searches, s)
			}
		case fields[0] == "options":
			r.Options = fields[1:]
		}
	}
	return r
}
