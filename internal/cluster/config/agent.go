package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Defaults that other rooms or other machines rely on.
const (
	DefaultDataDir     = "/var/lib/coracle"
	DefaultStateDir    = "/run/coracle"
	DefaultKubeletPort = 10250
	DefaultMaxPods     = 110
)

// Overlay says how packets between the pods of two nodes travel.
type Overlay string

// The overlays.
const (
	// Direct sets a route per node and needs all nodes in one network segment.
	Direct Overlay = "direct"
	// VXLAN wraps packets and works across routers.
	VXLAN Overlay = "vxlan"
)

// Common are the settings that every long-running command has.
type Common struct {
	// DataDir keeps what must outlast a reboot; StateDir is emptied by one.
	DataDir, StateDir string
	LogFormat         string // text or json
	LogLevel          string // debug, info, warn or error
}

// Agent are the settings of a node's agent, and of what runs beside it: containerd, pod network and service proxy.
type Agent struct {
	Common
	// Server is the API server's URL; a server's own agent has none.
	Server string
	// Token lets an agent join, and is what a server accepts; TokenFile holds it instead, out of sight of other users.
	Token, TokenFile string

	NodeName string
	// NodeIP is the address that other nodes reach this one by; the zero value means that of the default route.
	NodeIP      netip.Addr
	KubeletPort int
	MaxPods     int
	// LeaseDuration is how long a heartbeat of the node holds; it is renewed four times as often.
	LeaseDuration time.Duration
	Labels        map[string]string
	Taints        []corev1.Taint
	// Capacity overrides what the machine shows, by resource name. A local node shares its machine with others.
	Capacity corev1.ResourceList

	// RuntimeEndpoint is the socket of another CRI runtime; empty means the carried containerd.
	RuntimeEndpoint string
	// Snapshotter of the carried containerd: auto, overlayfs or native.
	Snapshotter       string
	RegistryConfigDir string

	ClusterDNS    netip.Addr
	ClusterDomain string
	ClusterCIDR   netip.Prefix
	ServiceCIDR   netip.Prefix
	Overlay       Overlay
	// ResolvConf is the file whose name servers and search domains pods with DNS policy Default get.
	ResolvConf string
}

// DefaultCommon returns the defaults.
func DefaultCommon() Common {
	return Common{DataDir: DefaultDataDir, StateDir: DefaultStateDir, LogFormat: "text", LogLevel: "info"}
}

// DefaultAgent returns the defaults for a machine of this name.
func DefaultAgent(hostname string) Agent {
	return Agent{
		Common: DefaultCommon(), NodeName: strings.ToLower(hostname),
		KubeletPort: DefaultKubeletPort, MaxPods: DefaultMaxPods, LeaseDuration: 40 * time.Second,
		Labels: map[string]string{}, Capacity: corev1.ResourceList{}, Snapshotter: "auto",
		ClusterDNS: netip.MustParseAddr("10.43.0.10"), ClusterDomain: "cluster.local",
		ClusterCIDR: netip.MustParsePrefix("10.42.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"),
		Overlay: VXLAN, ResolvConf: "/etc/resolv.conf",
	}
}

// AddFlags registers the flags of every long-running command.
func (c *Common) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.DataDir, "data-dir", c.DataDir, "folder for everything that outlasts a reboot")
	flags.StringVar(&c.StateDir, "state-dir", c.StateDir, "folder for sockets and running containers, emptied by a reboot")
	flags.StringVar(&c.LogFormat, "log-format", c.LogFormat, "form of the log on standard error: text or json")
	flags.StringVar(&c.LogLevel, "log-level", c.LogLevel, "least level that is logged: debug, info, warn or error")
}

// AddFlags registers the agent's flags, Common's included.
func (a *Agent) AddFlags(flags *pflag.FlagSet) {
	a.Common.AddFlags(flags)
	a.AddJoinFlags(flags)
	a.AddNodeFlags(flags)
	addRangeFlags(flags, &a.ClusterCIDR, &a.ServiceCIDR, &a.ClusterDNS, &a.ClusterDomain)
}

// AddJoinFlags registers the flags that a server's own agent does not have.
func (a *Agent) AddJoinFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.Server, "server", a.Server, "URL of the API server to join, such as https://10.0.0.1:6443")
	flags.StringVar(&a.Token, "token", a.Token, "join token that the server wrote into DATA-DIR/server/token")
	flags.StringVar(&a.TokenFile, "token-file", a.TokenFile, "file that holds the join token")
}

// AddNodeFlags registers the flags that describe the node.
func (a *Agent) AddNodeFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.NodeName, "node-name", a.NodeName, "name of the node")
	flags.Var(addrValue{&a.NodeIP}, "node-ip", "address of the node (default: that of the default route)")
	flags.IntVar(&a.KubeletPort, "kubelet-port", a.KubeletPort, "port of the node's kubelet API")
	flags.IntVar(&a.MaxPods, "max-pods", a.MaxPods, "how many pods the node takes")
	flags.DurationVar(&a.LeaseDuration, "node-lease-duration", a.LeaseDuration,
		"how long a heartbeat of the node holds; a quarter of it is the time between two; keep it below the server's "+
			"--node-monitor-grace-period")
	flags.StringToStringVar(&a.Labels, "node-label", a.Labels, "labels the node registers with: NAME=VALUE,...")
	flags.Var(taintsValue{&a.Taints}, "node-taint", "taints the node registers with: KEY[=VALUE]:EFFECT,...")
	flags.Var(capacityValue{a.Capacity}, "capacity", "resources to announce instead of the machine's: cpu=2,memory=4Gi,...")
	flags.StringVar(&a.RuntimeEndpoint, "container-runtime-endpoint", a.RuntimeEndpoint,
		"socket of a CRI runtime to use instead of the carried containerd")
	flags.StringVar(&a.Snapshotter, "snapshotter", a.Snapshotter, "containerd's snapshotter: auto, overlayfs or native")
	flags.StringVar(&a.RegistryConfigDir, "registry-config-dir", a.RegistryConfigDir,
		"folder of hosts.toml files for image registries (default DATA-DIR/agent/registries)")
	flags.Var(overlayValue{&a.Overlay}, "overlay", "how packets travel between nodes: vxlan, or direct within one segment")
	flags.StringVar(&a.ResolvConf, "resolv-conf", a.ResolvConf, "file with the name servers for pods with DNS policy Default")
}

func addRangeFlags(flags *pflag.FlagSet, pods, services *netip.Prefix, dns *netip.Addr, domain *string) {
	flags.Var(prefixValue{pods}, "cluster-cidr", "range of pod addresses")
	flags.Var(prefixValue{services}, "service-cidr", "range of service addresses")
	flags.Var(addrValue{dns}, "cluster-dns", "address of the cluster's DNS service")
	flags.StringVar(domain, "cluster-domain", *domain, "the cluster's DNS domain")
}

// Validate checks the settings of an agent that joins a server. It returns every problem found.
func (a *Agent) Validate() error {
	var errs []error
	if u, err := url.Parse(a.Server); err != nil || u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("--server: %q is no https URL", a.Server))
	}
	if a.Token != "" && a.TokenFile != "" {
		errs = append(errs, errors.New("--token and --token-file exclude each other"))
	}
	return errors.Join(append(errs, a.ValidateNode())...)
}

// ValidateNode checks what a server's own agent has too.
func (a *Agent) ValidateNode() error {
	errs := a.Common.problems()
	for _, problem := range validation.IsDNS1123Subdomain(a.NodeName) {
		errs = append(errs, fmt.Errorf("--node-name: %q: %s", a.NodeName, problem))
	}
	if a.NodeIP.IsValid() && (a.NodeIP.IsUnspecified() || a.NodeIP.IsLoopback() || a.NodeIP.IsMulticast()) {
		errs = append(errs, fmt.Errorf("--node-ip: other nodes can't reach %s", a.NodeIP))
	}
	if err := port("--kubelet-port", a.KubeletPort); err != nil {
		errs = append(errs, err)
	}
	if a.LeaseDuration < time.Second {
		errs = append(errs, fmt.Errorf("--node-lease-duration: %s is less than a second", a.LeaseDuration))
	}
	if a.MaxPods < 1 {
		errs = append(errs, fmt.Errorf("--max-pods: %d is not positive", a.MaxPods))
	}
	for key, value := range a.Labels {
		for _, problem := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
			errs = append(errs, fmt.Errorf("--node-label: %s=%s: %s", key, value, problem))
		}
	}
	if !slices.Contains([]string{"auto", "overlayfs", "native"}, a.Snapshotter) {
		errs = append(errs, fmt.Errorf("--snapshotter: %q is neither auto, overlayfs nor native", a.Snapshotter))
	}
	errs = append(errs, rangeProblems(a.ClusterCIDR, a.ServiceCIDR, a.ClusterDNS, a.ClusterDomain)...)
	return errors.Join(errs...)
}

func (c *Common) problems() []error {
	var errs []error
	for flag, dir := range map[string]string{"--data-dir": c.DataDir, "--state-dir": c.StateDir} {
		if !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", flag, dir))
		}
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format: %q is neither text nor json", c.LogFormat))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		errs = append(errs, fmt.Errorf("--log-level: %q is neither debug, info, warn nor error", c.LogLevel))
	}
	return errs
}

func rangeProblems(pods, services netip.Prefix, dns netip.Addr, domain string) []error {
	var errs []error
	for flag, prefix := range map[string]netip.Prefix{"--cluster-cidr": pods, "--service-cidr": services} {
		switch {
		case !prefix.IsValid() || prefix != prefix.Masked():
			errs = append(errs, fmt.Errorf("%s: %s is no range", flag, prefix))
		case !prefix.Addr().Is4():
			errs = append(errs, fmt.Errorf("%s: %s is not an IPv4 range", flag, prefix))
		}
	}
	switch {
	case len(errs) > 0:
	case pods.Bits() > 24:
		errs = append(errs, fmt.Errorf("--cluster-cidr: %s is too small: every node takes a /24 of it", pods))
	case services.Bits() < 12 || services.Bits() > 28:
		errs = append(errs, fmt.Errorf("--service-cidr: %s must be between a /12 and a /28", services))
	case pods.Overlaps(services):
		errs = append(errs, fmt.Errorf("--service-cidr: %s overlaps the pods' %s", services, pods))
	case !services.Contains(dns):
		errs = append(errs, fmt.Errorf("--cluster-dns: %s is not in the service range %s", dns, services))
	}
	for _, problem := range validation.IsDNS1123Subdomain(domain) {
		errs = append(errs, fmt.Errorf("--cluster-domain: %q: %s", domain, problem))
	}
	return errs
}

func port(flag string, n int) error {
	if n < 1 || n > 65535 {
		return fmt.Errorf("%s: %d is no port", flag, n)
	}
	return nil
}

// Places below the data and state folders.

// AgentDir keeps the agent's own files.
func (c *Common) AgentDir() string { return filepath.Join(c.DataDir, "agent") }

// AgentPKIDir keeps the agent's certificates and kubeconfig.
func (c *Common) AgentPKIDir() string { return filepath.Join(c.AgentDir(), "pki") }

// AgentTokenFile is where a local cluster leaves the join token for an agent.
func (c *Common) AgentTokenFile() string { return filepath.Join(c.AgentDir(), "token") }

// ContainerdDir keeps images and snapshots, ContainerdStateDir what belongs to running containers.
func (c *Common) ContainerdDir() string { return filepath.Join(c.AgentDir(), "containerd") }

// ContainerdStateDir holds containerd's sockets.
func (c *Common) ContainerdStateDir() string { return filepath.Join(c.StateDir, "containerd") }

// CNIConfDir holds the network configuration that containerd reads.
func (c *Common) CNIConfDir() string { return filepath.Join(c.AgentDir(), "cni", "net.d") }

// ProgramsDir is where the helper programs are unpacked.
func (c *Common) ProgramsDir() string { return filepath.Join(c.DataDir, "bin") }

// ImagesDir keeps archives of images built on this machine; an agent imports them at its start.
func (c *Common) ImagesDir() string { return filepath.Join(c.DataDir, "images") }

func parseCapacity(text string) (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for _, field := range strings.Split(text, ",") {
		name, value, found := strings.Cut(field, "=")
		quantity, err := resource.ParseQuantity(value)
		if !found || err != nil || quantity.Sign() < 0 {
			return nil, fmt.Errorf("%q is no NAME=QUANTITY", field)
		}
		if problems := validation.IsQualifiedName(name); len(problems) > 0 {
			return nil, fmt.Errorf("%q: %s", name, strings.Join(problems, "; "))
		}
		list[corev1.ResourceName(name)] = quantity
	}
	return list, nil
}

func parseTaints(text string) ([]corev1.Taint, error) {
	var taints []corev1.Taint
	for _, field := range strings.Split(text, ",") {
		pair, effect, found := strings.Cut(field, ":")
		key, value, _ := strings.Cut(pair, "=")
		known := []corev1.TaintEffect{
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute,
		}
		if !found || !slices.Contains(known, corev1.TaintEffect(effect)) {
			return nil, fmt.Errorf("%q is no KEY[=VALUE]:EFFECT", field)
		}
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			return nil, fmt.Errorf("%q: %s", field, strings.Join(problems, "; "))
		}
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return taints, nil
}
