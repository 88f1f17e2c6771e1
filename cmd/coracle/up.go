package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/programs"
)

// clusterFlags are the flags by which every command finds a local cluster.
type clusterFlags struct {
	dataDir, name string
}

const defaultClusterName = "coracle"

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", config.DefaultDataDir, "folder for everything that outlasts a reboot")
	cmd.Flags().StringVar(&f.name, "name", defaultClusterName, "name of the local cluster")
}

func newUpCommand() *cobra.Command {
	var (
		flags   clusterFlags
		opts    local.Options
		publish []string
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a local cluster, and wait until it is ready",
		Long: `Start a local cluster on this machine, every node in namespaces of its own, and wait until it is ready.
Doing it again starts what does not run and changes nothing else. The machine's own network stays as it is: the API
server and published ports are reached on 127.0.0.1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.DataDir, opts.Name = flags.dataDir, flags.name
			var err error
			if opts.Publish, err = parsePublish(publish); err != nil {
				return err
			}
			return up(cmd.Context(), opts, timeout, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&opts.Nodes, "nodes", 1, "number of nodes")
	cmd.Flags().IntVar(&opts.APIPort, "api-port", 0, "port of this machine for the API server (default 6443, or a free one)")
	cmd.Flags().StringSliceVar(&publish, "publish", nil, "ports of this machine that lead to node ports: PORT:NODEPORT,...")
	cmd.Flags().BoolVar(&opts.Offline, "offline", false, "give the nodes no way to name servers and registries")
	cmd.Flags().StringArrayVar(&opts.ServerArgs, "server-arg", nil, "a further flag for coracle server in the first node")
	cmd.Flags().StringArrayVar(&opts.AgentArgs, "agent-arg", nil, "a further flag for coracle agent in the other nodes")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for the cluster to be ready")
	return cmd
}

func up(ctx context.Context, opts local.Options, timeout time.Duration, out, errOut io.Writer) error {
	opts.Progress = progressTo(errOut)
	set, err := programs.Carried()
	if err != nil {
		return err
	}
	node := config.Common{DataDir: opts.DataDir}
	if opts.Programs, err = set.ForNodes().Unpack(ctx, node.ProgramsDir()); err != nil {
		return err
	}
	if opts.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cluster, err := local.Up(ctx, opts)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready after %s", timeout))
	defer cancel()
	if err := local.WaitReady(waiting, cluster, opts.Progress); err != nil {
		return fmt.Errorf("%w\nlook at the logs below %s/clusters/%s/nodes, or remove everything with: coracle down%s",
			err, opts.DataDir, opts.Name, nameFlag(opts.Name))
	}
	printUp(out, cluster)
	return nil
}

func printUp(out io.Writer, c *local.Cluster) {
	name := nameFlag(c.Name)
	fmt.Fprintf(out, `The cluster %q is ready: %s, nodes %s.
Its kubeconfig is %s

  coracle kubectl%s get nodes
  export KUBECONFIG=%s
  coracle down%s
`, c.Name, c.Server, strings.Join(c.Nodes, ", "), c.Kubeconfig, name, c.Kubeconfig, name)
}

// nameFlag is what a command needs to mean this cluster.
func nameFlag(name string) string {
	if name == defaultClusterName {
		return ""
	}
	return " --name " + name
}

// progressTo returns a function that shows what is being done, where somebody watches.
func progressTo(w io.Writer) func(string) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func(string) {}
	}
	return func(text string) { fmt.Fprintln(w, "-", text) }
}

func parsePublish(texts []string) ([]local.Publish, error) {
	var list []local.Publish
	for _, text := range texts {
		host, node, found := strings.Cut(text, ":")
		port, errPort := strconv.ParseUint(host, 10, 16)
		nodePort, errNode := strconv.ParseUint(node, 10, 16)
		if !found || errors.Join(errPort, errNode) != nil || port == 0 || nodePort == 0 {
			return nil, fmt.Errorf("--publish: %q is no PORT:NODEPORT", text)
		}
		list = append(list, local.Publish{Port: int(port), NodePort: int(nodePort)})
	}
	return list, nil
}
