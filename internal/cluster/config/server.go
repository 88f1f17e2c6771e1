package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
)

// DefaultSecurePort is the API server's port.
const DefaultSecurePort = 6443

// The parts of a server that --disable can leave out.
const (
	PartScheduler   = "scheduler"
	PartControllers = "controllers"
	PartAgent       = "agent"
	PartNetwork     = "network"
	PartProxy       = "proxy"
	PartDNS         = "dns"
)

// Parts lists the parts that --disable knows.
func Parts() []string {
	return []string{PartScheduler, PartControllers, PartAgent, PartNetwork, PartProxy, PartDNS}
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// ParsePortRange reads FIRST-LAST.
func ParsePortRange(text string) (PortRange, error) {
	first, last, found := strings.Cut(text, "-")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(last)
	if !found || errA != nil || errB != nil || a < 1 || b > 65535 || a > b {
		return PortRange{}, fmt.Errorf("%q is no range of ports such as 30000-32767", text)
	}
	return PortRange{First: a, Last: b}, nil
}

// Etcd says how to reach an outside etcd; without endpoints the server runs its own.
type Etcd struct {
	Endpoints                 []string
	CAFile, CertFile, KeyFile string
	// CompactionInterval is how often history is forgotten, to what it was an interval before; 0 means never.
	CompactionInterval time.Duration
}

// Server are the settings of a server, its own agent's included.
type Server struct {
	Agent

	BindAddress netip.Addr
	// AdvertiseAddress is what the service "kubernetes" leads to; the zero value means the node's address.
	AdvertiseAddress netip.Addr
	SecurePort       int
	NodePorts        PortRange
	Etcd             Etcd
	// SANs are further names and addresses for the API server's certificate.
	SANs    []string
	Disable []string
	// NodeGrace is how long a node may be silent before it counts as lost.
	NodeGrace time.Duration
}

// minNodeGrace leaves room for a heartbeat to be late.
const minNodeGrace = 4 * time.Second

// DefaultServer returns the defaults for a machine of this name.
func DefaultServer(hostname string) Server {
	return Server{
		Agent: DefaultAgent(hostname), BindAddress: netip.IPv4Unspecified(), SecurePort: DefaultSecurePort,
		NodePorts: PortRange{First: 30000, Last: 32767}, NodeGrace: 40 * time.Second,
		Etcd: Etcd{CompactionInterval: 5 * time.Minute},
	}
}

// AddFlags registers the server's flags, the node's included.
func (s *Server) AddFlags(flags *pflag.FlagSet) {
	s.Common.AddFlags(flags)
	s.AddNodeFlags(flags)
	addRangeFlags(flags, &s.ClusterCIDR, &s.ServiceCIDR, &s.ClusterDNS, &s.ClusterDomain)
	flags.StringVar(&s.Token, "token", s.Token, "join token to accept, ID.SECRET (default: one is made and kept)")
	flags.Var(addrValue{&s.BindAddress}, "bind-address", "address that the API server listens on")
	flags.Var(addrValue{&s.AdvertiseAddress}, "advertise-address",
		"address by which the cluster reaches the API server (default: the node's)")
	flags.IntVar(&s.SecurePort, "secure-port", s.SecurePort, "port of the API server")
	flags.Var(portRangeValue{&s.NodePorts}, "service-node-port-range", "ports for services of type NodePort")
	flags.StringSliceVar(&s.Etcd.Endpoints, "etcd-endpoints", s.Etcd.Endpoints,
		"an outside etcd to use instead of the built-in one")
	flags.StringVar(&s.Etcd.CAFile, "etcd-cafile", s.Etcd.CAFile, "authority of the outside etcd's certificates")
	flags.StringVar(&s.Etcd.CertFile, "etcd-certfile", s.Etcd.CertFile, "client certificate for the outside etcd")
	flags.StringVar(&s.Etcd.KeyFile, "etcd-keyfile", s.Etcd.KeyFile, "key of the client certificate for the outside etcd")
	flags.DurationVar(&s.Etcd.CompactionInterval, "etcd-compaction-interval", s.Etcd.CompactionInterval,
		"how long the history of changes is kept at least; 0 leaves forgetting it to others")
	flags.StringSliceVar(&s.SANs, "tls-san", s.SANs, "further names and addresses for the API server's certificate")
	flags.DurationVar(&s.NodeGrace, "node-monitor-grace-period", s.NodeGrace, "how long a node may be silent before it is lost")
	flags.StringSliceVar(&s.Disable, "disable", s.Disable, "parts to leave out: "+strings.Join(Parts(), ", "))
}

// Disabled tells whether a part is left out.
func (s *Server) Disabled(part string) bool { return slices.Contains(s.Disable, part) }

// Validate checks the settings. It returns every problem found.
func (s *Server) Validate() error {
	var errs []error
	if err := s.ValidateNode(); err != nil {
		errs = append(errs, err)
	}
	if err := port("--secure-port", s.SecurePort); err != nil {
		errs = append(errs, err)
	}
	if !s.BindAddress.IsValid() {
		errs = append(errs, errors.New("--bind-address: the address is missing"))
	}
	if s.AdvertiseAddress.IsValid() && (s.AdvertiseAddress.IsUnspecified() || s.AdvertiseAddress.IsLoopback()) {
		errs = append(errs, fmt.Errorf("--advertise-address: pods can't reach %s", s.AdvertiseAddress))
	}
	if !s.Disabled(PartAgent) && s.KubeletPort == s.SecurePort {
		errs = append(errs, fmt.Errorf("--kubelet-port: %d is the API server's", s.KubeletPort))
	}
	for name, p := range map[string]int{"--secure-port": s.SecurePort, "--kubelet-port": s.KubeletPort} {
		if p >= s.NodePorts.First && p <= s.NodePorts.Last {
			errs = append(errs, fmt.Errorf("%s: %d is in the range of node ports %s", name, p, s.NodePorts))
		}
	}
	if s.NodeGrace < minNodeGrace {
		errs = append(errs, fmt.Errorf("--node-monitor-grace-period: %s is shorter than %s, in which every node would seem lost",
			s.NodeGrace, minNodeGrace))
	}
	for _, part := range s.Disable {
		if !slices.Contains(Parts(), part) {
			errs = append(errs, fmt.Errorf("--disable: %q is none of %s", part, strings.Join(Parts(), ", ")))
		}
	}
	for _, san := range s.SANs {
		if _, err := netip.ParseAddr(san); err == nil {
			continue
		}
		for _, problem := range validation.IsDNS1123Subdomain(strings.TrimPrefix(san, "*.")) {
			errs = append(errs, fmt.Errorf("--tls-san: %q: %s", san, problem))
		}
	}
	return errors.Join(append(errs, s.Etcd.problems()...)...)
}

func (e Etcd) problems() []error {
	var errs []error
	for _, endpoint := range e.Endpoints {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			errs = append(errs, fmt.Errorf("--etcd-endpoints: %q is no http or https URL", endpoint))
		}
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		errs = append(errs, errors.New("--etcd-certfile and --etcd-keyfile belong together"))
	}
	if e.CompactionInterval < 0 {
		errs = append(errs, fmt.Errorf("--etcd-compaction-interval: %s is negative", e.CompactionInterval))
	}
	return errs
}

// ServerDir keeps the server's own files.
func (c *Common) ServerDir() string { return filepath.Join(c.DataDir, "server") }

// ServerPKIDir keeps the authorities, the server's certificates and its kubeconfigs.
func (c *Common) ServerPKIDir() string { return filepath.Join(c.ServerDir(), "pki") }

// EtcdDir keeps the data of the built-in etcd.
func (c *Common) EtcdDir() string { return filepath.Join(c.ServerDir(), "etcd") }

// TokenFile keeps the join token.
func (c *Common) TokenFile() string { return filepath.Join(c.ServerDir(), "token") }
