package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/network/cni"
	"coracle.dev/coracle/internal/network/dns"
	"coracle.dev/coracle/internal/network/nft"
	"coracle.dev/coracle/internal/network/overlay"
	"coracle.dev/coracle/internal/network/proxy"
)

// Config of a node's network.
type Config struct {
	NodeName string
	Client   client.Interface
	// NodeIPs are the node's internal addresses, at most one per IP family, the preferred family first.
	NodeIPs []netip.Addr
	// ClusterCIDRs and ServiceCIDRs are the ranges of pods and services, at most one per family each.
	ClusterCIDRs []netip.Prefix
	ServiceCIDRs []netip.Prefix
	// ClusterDNS are the service addresses at which each node answers DNS itself.
	ClusterDNS []netip.Addr
	// ClusterDomain is such as cluster.local, which it defaults to.
	ClusterDomain string
	// ResolvConf names the file with the node's own resolvers; /etc/resolv.conf by default.
	ResolvConf string
	// CNIConfDir is where the container runtime looks for network configurations. The plugin's binary, cni.PluginName, must be
	// in the runtime's plugin folder; putting it there is not this package's matter.
	CNIConfDir string
	// StateDir keeps pod addresses and port mappings. It must survive restarts of the agent, and may vanish with the pods.
	StateDir string
	// Mode of the routes between nodes; auto by default.
	Mode overlay.Mode
	// VNI and VXLANPort of the overlay; 0 for the defaults.
	VNI, VXLANPort int
	// MTU of pods; 0 derives it from the uplink and the mode.
	MTU int
	// MasqueradeAll hides every client of a service behind its node's address.
	MasqueradeAll bool
	// The parts that somebody else provides. Without the overlay, pods must get their routes from another CNI plugin, so that
	// no configuration is written either.
	DisableOverlay, DisableProxy, DisableDNS bool

	Logger *slog.Logger
	Clock  clock.Clock
}

// Network is one node's network.
type Network struct {
	conf  Config
	parts []part
	// ready are closed by the parts that must work before pods start.
	ready []<-chan struct{}
	home  *namespace
	// done is closed when the first configuration was written, or at once without an overlay.
	done chan struct{}
	once sync.Once
}

// part is something that runs for as long as the network does.
type part struct {
	name string
	run  func(context.Context) error
}

// New prepares the network of the network namespace of the calling goroutine's thread. Nothing is changed before Run.
func New(c Config) (*Network, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.ClusterDomain = cmp.Or(c.ClusterDomain, "cluster.local")
	c.ResolvConf = cmp.Or(c.ResolvConf, "/etc/resolv.conf")
	c.Mode = cmp.Or(c.Mode, overlay.Auto)
	home, err := currentNamespace()
	if err != nil {
		return nil, err
	}
	n := &Network{conf: c, home: home, done: make(chan struct{})}
	for _, add := range []func() error{n.addOverlay, n.addProxy, n.addDNS, n.addPlugin} {
		if err := add(); err != nil {
			return nil, errors.Join(err, home.close())
		}
	}
	return n, nil
}

func (c Config) check() error {
	switch {
	case c.NodeName == "":
		return errors.New("network: no node name")
	case c.Client == nil || c.Logger == nil || c.Clock == nil:
		return errors.New("network: client, logger and clock are needed")
	case len(c.NodeIPs) == 0:
		return errors.New("network: no node address")
	case !c.DisableOverlay && (len(c.ClusterCIDRs) == 0 || c.CNIConfDir == "" || c.StateDir == ""):
		return errors.New("network: the overlay needs a pod range, a folder for the CNI configuration and one for its state")
	case !slices.Contains([]overlay.Mode{"", overlay.Auto, overlay.Direct, overlay.VXLAN}, c.Mode):
		return fmt.Errorf("network: mode %q is none of auto, direct, vxlan", c.Mode)
	}
	for _, ip := range c.ClusterDNS {
		if !slices.ContainsFunc(c.ServiceCIDRs, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			return fmt.Errorf("network: the DNS address %s is outside of the service ranges %v", ip, c.ServiceCIDRs)
		}
	}
	return nil
}

// localIPs are the service addresses that this node answers itself.
func (c Config) localIPs() []netip.Addr {
	if c.DisableDNS {
		return nil
	}
	return c.ClusterDNS
}

func (n *Network) addOverlay() error {
	c := n.conf
	s := overlay.Settings{
		NodeName: c.NodeName, NodeIPs: c.NodeIPs, ClusterCIDRs: c.ClusterCIDRs, LocalIPs: c.localIPs(), Mode: c.Mode,
		NoPeers: c.DisableOverlay, VNI: c.VNI, Port: c.VXLANPort,
	}
	// Another proxy has its own way with what it does not translate.
	if !c.DisableProxy {
		s.ServiceCIDRs = c.ServiceCIDRs
	}
	o, err := overlay.New(s, c.Client, c.Logger, c.Clock)
	if err != nil {
		return err
	}
	n.parts = append(n.parts, part{"overlay", o.Run})
	n.ready = append(n.ready, o.Ready())
	return nil
}

func (n *Network) addProxy() error {
	c := n.conf
	if c.DisableProxy {
		return nil
	}
	p, err := proxy.New(proxy.Settings{
		ClusterCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs, LocalIPs: c.localIPs(), MasqueradeAll: c.MasqueradeAll,
	}, c.NodeName, c.NodeIPs, c.Client, c.Logger, c.Clock)
	if err != nil {
		return err
	}
	n.parts = append(n.parts, part{"proxy", p.Run})
	n.ready = append(n.ready, p.Ready())
	return nil
}

func (n *Network) addDNS() error {
	c := n.conf
	if c.DisableDNS || len(c.ClusterDNS) == 0 {
		return nil
	}
	s, err := dns.New(dns.Config{
		IPs: c.ClusterDNS, Domain: c.ClusterDomain, Reverse: slices.Concat(c.ClusterCIDRs, c.ServiceCIDRs),
		ResolvConf: c.ResolvConf, Client: c.Client, Logger: c.Logger, Clock: c.Clock,
	})
	if err != nil {
		return err
	}
	n.parts = append(n.parts, part{"dns", s.Run})
	n.ready = append(n.ready, s.Ready())
	return nil
}

func (n *Network) addPlugin() error {
	if n.conf.DisableOverlay {
		close(n.done)
		return nil
	}
	w, err := newConfWriter(n)
	if err != nil {
		return err
	}
	n.parts = append(n.parts, part{"cni configuration", w.run}, part{"host ports", n.hostPorts})
	return nil
}

// Ready is closed once pods can be connected.
func (n *Network) Ready() <-chan struct{} { return n.done }

// restartAfter is how long a part that failed waits before it starts anew.
const restartAfter = time.Second

// Run runs all parts until ctx ends. A part that fails is started anew; the others go on. What was set up stays when Run returns:
// pods and services work on without the agent. Run may be called once.
func (n *Network) Run(ctx context.Context) error {
	defer func() { _ = n.home.close() }()
	var wg sync.WaitGroup
	errs := make([]error, len(n.parts))
	for i, p := range n.parts {
		wg.Go(func() { errs[i] = n.home.run(func() { n.supervise(ctx, p) }) })
	}
	wg.Wait()
	return cmp.Or(errors.Join(errs...), ctx.Err())
}

// Remove takes away what a network with this configuration set up in the calling thread's network namespace, for a machine that
// leaves the cluster: tables, routes, devices, addresses and the runtime's configuration. Sysctls stay, and so do the links of
// pods, which go with the pods. The network must not be running.
func Remove(c Config) error {
	err := overlay.Remove(overlay.Settings{ServiceCIDRs: c.ServiceCIDRs})
	conn, err2 := nft.Open()
	if err2 != nil {
		return errors.Join(err, err2)
	}
	defer func() { _ = conn.Close() }()
	err = errors.Join(err, conn.Delete(proxy.Table), conn.Delete(cni.HostPortTable))
	if rm := os.Remove(filepath.Join(c.CNIConfDir, confName)); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("removing the network configuration: %w", rm))
	}
	return err
}

func (n *Network) supervise(ctx context.Context, p part) {
	for {
		err := p.run(ctx)
		if ctx.Err() != nil {
			return
		}
		n.conf.Logger.Error("a part of the network failed, starting it anew", "part", p.name, "after", restartAfter, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-n.conf.Clock.After(restartAfter):
		}
	}
}

// hostPorts keeps the plugin's table: whoever flushes the ruleset takes it with the rest.
func (n *Network) hostPorts(ctx context.Context) error {
	if err := os.MkdirAll(n.conf.StateDir, 0o700); err != nil {
		return fmt.Errorf("making the network's state folder: %w", err)
	}
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	w, err := conn.WatchLoss(cni.HostPortTable)
	if err != nil {
		return err
	}
	if err := cni.SyncHostPorts(conn, n.conf.StateDir); err != nil {
		return err
	}
	return w.Run(ctx, func() {
		if err := cni.SyncHostPorts(conn, n.conf.StateDir); err != nil {
			n.conf.Logger.Error("cannot restore host ports", "err", err)
		}
	})
}
