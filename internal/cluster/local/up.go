package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local/cgroups"
	"coracle.dev/coracle/internal/cluster/local/holder"
	"coracle.dev/coracle/internal/cluster/local/nodeinit"
)

// Options of Up.
type Options struct {
	// DataDir is coracle's data folder on the machine; clusters are below it.
	DataDir string
	Name    string
	// Nodes is how many nodes there are to be. A cluster that has more keeps them.
	Nodes int
	// APIPort is where the machine finds the API server, on 127.0.0.1. 0 means 6443, or any port when that is taken.
	APIPort int
	Publish []Publish
	// Offline leaves nodes without a way to the machine's network.
	Offline bool

	// Programs is the folder of unpacked helper programs, Binary the coracle binary.
	Programs, Binary string
	// ServerArgs and AgentArgs are further arguments for the agents of the first node and of the others.
	ServerArgs, AgentArgs []string

	// Content replaces the cluster by something else that runs in the nodes; used by tests.
	Content Content
	// Progress is told what is being done, in a few words. May be nil.
	Progress func(string)
}

// Cluster is a local cluster whose nodes were started.
type Cluster struct {
	Name string
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Server is the API server's URL on the machine.
	Server string
	Nodes  []string
}

// Up makes a cluster, or completes one that is there: it starts what does not run. It returns when every node's agent was
// started; see WaitReady for more. When a new cluster can't be made whole, what was made is removed.
func Up(ctx context.Context, opts Options) (*Cluster, error) {
	if err := check(&opts); err != nil {
		return nil, err
	}
	p := clusterPaths(opts.DataDir, opts.Name)
	lock, err := p.lockCluster()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s, err := p.load()
	isNew := missing(err)
	if isNew {
		s, err = &state{Name: opts.Name, Publish: opts.Publish, Offline: opts.Offline}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(opts.Publish) > 0 && !slices.Equal(opts.Publish, s.Publish) {
		return nil, fmt.Errorf("the cluster %q publishes other ports; remove it first to change them", opts.Name)
	}
	u := &upRun{opts: opts, paths: p, state: s}
	if err := u.run(ctx); err != nil {
		if isNew {
			// ctx may have ended; removing must not stop halfway for that.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return nil, errors.Join(err, remove(ctx, p, s))
		}
		return nil, err
	}
	return u.cluster(), nil
}

func check(opts *Options) error {
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	if err := checkName(opts.Name); err != nil {
		return err
	}
	if opts.Nodes < 1 || opts.Nodes > maxNodes {
		return fmt.Errorf("a local cluster has from 1 to %d nodes, not %d", maxNodes, opts.Nodes)
	}
	if strings.ContainsAny(opts.DataDir, `,:\`) || !filepath.IsAbs(opts.DataDir) {
		return fmt.Errorf("the data folder %q must be an absolute path without commas, colons and backslashes", opts.DataDir)
	}
	if os.Geteuid() != 0 {
		return errors.New("making namespaces and cgroups needs root: run this with sudo")
	}
	return nil
}

type upRun struct {
	opts        Options
	paths       paths
	state       *state
	hierarchies []cgroups.Hierarchy
	content     Content
}

func (u *upRun) run(ctx context.Context) error {
	var err error
	if u.hierarchies, err = cgroups.Machine(); err != nil {
		return err
	}
	if err := u.paths.save(u.state); err != nil {
		return err
	}
	if !u.state.Network.alive() {
		if err := u.startNetwork(ctx); err != nil {
			return err
		}
	}
	if u.content = u.opts.Content; u.content == nil {
		if u.content, err = newCoracleContent(u.paths, u.state, u.opts, time.Now()); err != nil {
			return err
		}
	}
	for number := 1; number <= max(u.opts.Nodes, len(u.state.Nodes)); number++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("starting the nodes: %w", context.Cause(ctx))
		}
		if err := u.ensureNode(ctx, number); err != nil {
			return fmt.Errorf("starting %s: %w", NodeName(number), err)
		}
	}
	return nil
}

// startNetwork starts the holder. Nodes of an earlier one have lost their network and are ended; they start again.
func (u *upRun) startNetwork(ctx context.Context) error {
	u.opts.Progress("making the network")
	if err := endNodes(ctx, u.state); err != nil {
		return err
	}
	var listeners []*os.File
	defer func() {
		for _, file := range listeners {
			file.Close()
		}
	}()
	address := NodeAddress(1).String()
	config := holder.Config{
		Bridge:   bridgeName,
		MAC:      holderMAC,
		Address:  holderAddress().String() + "/" + strconv.Itoa(nodeNetwork().Bits()),
		Forwards: []string{fmt.Sprintf("%s:%d", address, config.DefaultSecurePort)},
	}
	if !u.state.Offline {
		config.ProxyPort, config.DNSPort = proxyPort, dnsPort
	}
	// A cluster that comes back keeps its port: kubeconfigs name it.
	wanted := u.state.APIPort
	if wanted == 0 {
		wanted = u.opts.APIPort
	}
	file, port, err := listen(wanted, preferredAPIPort)
	if err != nil {
		return err
	}
	listeners = append(listeners, file)
	u.state.APIPort = port
	for _, publish := range u.state.Publish {
		file, _, err := listen(publish.Port, 0)
		if err != nil {
			return err
		}
		listeners = append(listeners, file)
		config.Forwards = append(config.Forwards, fmt.Sprintf("%s:%d", address, publish.NodePort))
	}
	return startNetwork(u.initProgram(), u.paths, config, listeners, func(id process) error {
		u.state.Network = id
		return u.paths.save(u.state)
	})
}

const preferredAPIPort = config.DefaultSecurePort

func (u *upRun) initProgram() string { return filepath.Join(u.opts.Programs, "coracle-init") }

func (u *upRun) ensureNode(ctx context.Context, number int) error {
	if number > len(u.state.Nodes) {
		u.state.Nodes = append(u.state.Nodes, node{Number: number})
		if err := u.paths.save(u.state); err != nil {
			return err
		}
	}
	if u.state.Nodes[number-1].Init.alive() {
		return nil
	}
	u.opts.Progress("starting " + NodeName(number))
	dataDir := u.paths.nodeData(number)
	for _, dir := range []string{dataDir, filepath.Join(u.opts.DataDir, "images")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("making a data folder: %w", err)
		}
	}
	command, err := u.content.Prepare(number, dataDir)
	if err != nil {
		return err
	}
	cgroup := cgroupName(u.state.Name, number)
	if err := cgroups.Remove(ctx, u.hierarchies, cgroup); err != nil {
		return err
	}
	plan := nodePlan{
		program: u.initProgram(), dir: u.paths.node(number), hierarchies: u.hierarchies, cgroup: cgroup,
		network: u.state.Network, mac: nodeMAC(number), config: u.nodeConfig(number, command),
	}
	return startNode(plan, func(id process) error {
		u.state.Nodes[number-1].Init = id
		return u.paths.save(u.state)
	})
}

func (u *upRun) nodeConfig(number int, command []string) nodeinit.Config {
	dir := u.paths.node(number)
	c := nodeinit.Config{
		Hostname:    NodeName(number),
		Root:        filepath.Join(dir, "root"),
		Upper:       filepath.Join(dir, "system", "upper"),
		Work:        filepath.Join(dir, "system", "work"),
		Hierarchies: u.hierarchies,
		Interface:   deviceName,
		Address:     fmt.Sprintf("%s/%d", NodeAddress(number), nodeNetwork().Bits()),
		Gateway:     holderAddress().String(),
		Hosts:       map[string]string{},
		Command:     command,
		Environ:     []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
		Binds: []nodeinit.Bind{
			{Source: u.paths.nodeData(number), Target: config.DefaultDataDir},
			{Source: filepath.Join(u.opts.DataDir, "images"), Target: config.DefaultDataDir + "/images", ReadOnly: true},
			{Source: filepath.Dir(u.opts.Programs), Target: config.DefaultDataDir + "/bin", ReadOnly: true},
		},
	}
	if u.opts.Binary != "" {
		c.Binds = append(c.Binds, nodeinit.Bind{Source: u.opts.Binary, Target: binaryInNode, ReadOnly: true})
	}
	for n := 1; n <= max(u.opts.Nodes, len(u.state.Nodes)); n++ {
		c.Hosts[NodeName(n)] = NodeAddress(n).String()
	}
	if !u.state.Offline {
		c.NameServers = []string{holderAddress().String()}
		c.Environ = append(c.Environ, fmt.Sprintf("HTTPS_PROXY=http://%s:%d", holderAddress(), proxyPort),
			"NO_PROXY="+strings.Join([]string{
				"localhost", "127.0.0.1", nodeNetwork().String(), "10.42.0.0/16", "10.43.0.0/16", ".svc", ".cluster.local",
			}, ","))
	}
	return c
}

func (u *upRun) cluster() *Cluster {
	c := &Cluster{Name: u.state.Name, Kubeconfig: u.paths.kubeconfig(), Server: apiURL(u.state.APIPort)}
	for _, n := range u.state.Nodes {
		c.Nodes = append(c.Nodes, NodeName(n.Number))
	}
	return c
}
