package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/lifecycle"
	"coracle.dev/coracle/internal/cluster/nodeengine"
	"coracle.dev/coracle/internal/cluster/version"
	"coracle.dev/coracle/internal/network"
	"coracle.dev/coracle/internal/network/overlay"
	"coracle.dev/coracle/internal/node"
)

// Identity is how a node speaks with the cluster.
type Identity struct {
	// Client acts as system:node:NAME.
	Client client.Interface
	// ServingCert gives the certificate of the node's own port, ClientCA judges who calls there.
	ServingCert func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCA    *x509.CertPool
}

// Options of a node.
type Options struct {
	Agent *config.Agent
	// WithoutProxy and WithoutDNS leave parts of the network out, WithoutNetwork all of it.
	WithoutNetwork, WithoutProxy, WithoutDNS bool
	Log                                      *slog.Logger
}

// Node is a node being started.
type Node struct {
	opts   Options
	socket string
}

// StartRuntime starts containerd, unless another runtime is configured. It needs no API server, so it comes first.
func StartRuntime(ctx context.Context, stack *lifecycle.Stack, opts Options) (*Node, error) {
	n := &Node{opts: opts, socket: opts.Agent.RuntimeEndpoint}
	if n.socket != "" {
		return n, nil
	}
	engine, err := nodeengine.New(ctx, opts.Agent, opts.Log.With("part", "containerd"))
	if err != nil {
		return nil, fmt.Errorf("preparing containerd: %w", err)
	}
	n.socket = engine.Endpoint()
	stack.Start(ctx, "containerd", engine.Run)
	stack.Start(ctx, "images", func(ctx context.Context) error {
		if err := engine.Seed(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return n, nil
}

// Start starts the rest of the node, in this order.
func (n *Node) Start(ctx context.Context, stack *lifecycle.Stack, id Identity) error {
	agent, err := n.newAgent(id)
	if err != nil {
		return fmt.Errorf("preparing the node agent: %w", err)
	}
	if !n.opts.WithoutNetwork {
		net, err := n.newNetwork(id)
		if err != nil {
			return fmt.Errorf("preparing the pod network: %w", err)
		}
		stack.Start(ctx, "network", net.Run)
	}
	stack.Start(ctx, "node agent", agent.Run)
	return nil
}

func (n *Node) newNetwork(id Identity) (*network.Network, error) {
	a := n.opts.Agent
	return network.New(network.Config{
		NodeName: a.NodeName, Client: id.Client, NodeIPs: []netip.Addr{a.NodeIP},
		ClusterCIDRs: []netip.Prefix{a.ClusterCIDR}, ServiceCIDRs: []netip.Prefix{a.ServiceCIDR},
		ClusterDNS: []netip.Addr{a.ClusterDNS}, ClusterDomain: a.ClusterDomain, ResolvConf: a.ResolvConf,
		CNIConfDir: a.CNIConfDir(), StateDir: filepath.Join(a.AgentDir(), "network"), Mode: overlay.Mode(a.Overlay),
		DisableProxy: n.opts.WithoutProxy, DisableDNS: n.opts.WithoutDNS,
		Logger: n.opts.Log.With("part", "network"), Clock: clock.RealClock{},
	})
}

func (n *Node) newAgent(id Identity) (*node.Agent, error) {
	a := n.opts.Agent
	return node.New(node.Config{
		NodeName: a.NodeName, Client: id.Client, RuntimeSocket: n.socket,
		RootDir: filepath.Join(a.AgentDir(), "kubelet"), PodLogsDir: "/var/log/pods",
		NodeIPs: []string{a.NodeIP.String()}, ClusterDNS: []string{a.ClusterDNS.String()}, ClusterDomain: a.ClusterDomain,
		ResolvConf: a.ResolvConf, Version: version.Release, Capacity: a.Capacity, MaxPods: a.MaxPods,
		Labels: a.Labels, Taints: a.Taints,
		LeaseDuration: a.LeaseDuration, LeaseRenew: a.LeaseDuration / 4,
		Listen:      net.JoinHostPort("", strconv.Itoa(a.KubeletPort)),
		ServingCert: id.ServingCert, ClientCA: id.ClientCA,
		Logger: n.opts.Log.With("part", "node"), Now: time.Now, Rand: rand.Float64,
	})
}

// CertPool reads authorities from a file.
func CertPool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificates", file)
	}
	return pool, nil
}
