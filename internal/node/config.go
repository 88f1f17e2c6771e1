package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/serve"
)

// Config of an Agent. Fields without a remark are required.
type Config struct {
	NodeName string
	// Client acts as system:node:NodeName.
	Client client.Interface
	// RuntimeSocket is the runtime's CRI socket, a path or unix://PATH.
	RuntimeSocket string
	// RootDir is the agent's own folder; PodLogsDir is /var/log/pods, ContainerLogsDir (links by container) /var/log/containers
	// unless given.
	RootDir, PodLogsDir, ContainerLogsDir string
	// NodeIPs are the node's addresses, the primary one first; Hostname is the node's name unless given.
	NodeIPs  []string
	Hostname string

	// ClusterDNS are the addresses of the cluster's DNS servers, ClusterDomain the domain that they serve. Optional.
	ClusterDNS    []string
	ClusterDomain string
	// ResolvConf is the node's own resolver configuration, /etc/resolv.conf unless given.
	ResolvConf string

	// Version is what the node reports as the kubelet's.
	Version string
	// Capacity replaces what the machine says it has (cpu, memory, ephemeral-storage, pods), name by name. Optional.
	Capacity v1.ResourceList
	// Reserved is kept from pods. Optional.
	Reserved v1.ResourceList
	// MaxPods is 110 unless given.
	MaxPods int
	// Labels and Taints are set when the node registers. ProviderID is optional.
	Labels     map[string]string
	Taints     []v1.Taint
	ProviderID string

	// Listen is the address of the kubelet API, :10250 unless given; "-" serves nothing.
	Listen string
	// ServingCert gives the serving certificate per connection.
	ServingCert func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCA signs client certificates of the kubelet API's callers.
	ClientCA *x509.CertPool
	// Authenticate and Authorize replace the API server's TokenReview and SubjectAccessReview. Optional.
	Authenticate serve.Authenticator
	Authorize    serve.Authorizer

	// CgroupMount is where control groups are mounted, /sys/fs/cgroup unless given; CgroupRoot the path below which pods' groups
	// go, the same that the runtime sees, / unless given.
	CgroupMount, CgroupRoot string
	// SerialPulls pulls one image at a time.
	SerialPulls bool

	Logger *slog.Logger
	// Now is the time, Rand a random number in [0, 1). Required.
	Now  func() time.Time
	Rand func() float64

	// LeaseDuration is 40 s, LeaseRenew 10 s, StatusPeriod (how often the node's state is looked at) 10 s, StatusReport (how
	// often it is written though nothing changed) 5 min, unless given.
	LeaseDuration, LeaseRenew, StatusPeriod, StatusReport time.Duration
}

func (c *Config) complete() error {
	switch {
	case c.NodeName == "":
		return errors.New("the node has no name")
	case c.Client == nil:
		return errors.New("the node has no client")
	case c.RootDir == "":
		return errors.New("the node has no folder")
	case len(c.NodeIPs) == 0:
		return errors.New("the node has no address")
	case c.Now == nil || c.Rand == nil:
		return errors.New("the node has no clock or no source of chance")
	}
	text := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	text(&c.PodLogsDir, "/var/log/pods")
	text(&c.ContainerLogsDir, filepath.Join(filepath.Dir(c.PodLogsDir), "containers"))
	text(&c.Hostname, c.NodeName)
	text(&c.ResolvConf, "/etc/resolv.conf")
	text(&c.ClusterDomain, "cluster.local")
	text(&c.Version, "v1.37.0+coracle")
	text(&c.Listen, ":10250")
	text(&c.CgroupMount, "/sys/fs/cgroup")
	text(&c.CgroupRoot, "/")
	span := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	span(&c.LeaseDuration, 40*time.Second)
	span(&c.LeaseRenew, 10*time.Second)
	span(&c.StatusPeriod, 10*time.Second)
	span(&c.StatusReport, 5*time.Minute)
	if c.MaxPods == 0 {
		c.MaxPods = 110
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}
