// Command coracle is Kubernetes in one binary: a local cluster (up, down), a production server and its agents (server, agent),
// and the tools around them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "coracle:", err)
		stop()
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "coracle",
		Short: "Kubernetes in one small binary",
		Long: `Coracle is an independent implementation of Kubernetes: the whole API and the system behind it in one binary.

    coracle up                  a cluster on this machine, in a few seconds
    coracle kubectl get nodes   the kubectl you know
    coracle down                and everything is gone`,
		Version:       version.Release,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: "local", Title: "A cluster on this machine:"},
		&cobra.Group{ID: "machines", Title: "A cluster of machines:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"local":    {newUpCommand(), newDownCommand(), newStatusCommand(), newKubeconfigCommand()},
		"machines": {newServerCommand(), newAgentCommand()},
		"tools":    {newKubectlCommand(), newImageCommand(), newDebugCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	return root
}
