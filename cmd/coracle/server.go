package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/server"
)

func newServerCommand() *cobra.Command {
	cfg := config.DefaultServer(hostname())
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server: the API, controllers, the scheduler and this machine's node",
		Long: `Run a server in the foreground: the API server with its store, the controllers, the scheduler, and this machine as
the first node. It logs to standard error and stops cleanly on SIGTERM; containers go on running and are adopted when it
starts again. Other machines join with the token in DATA-DIR/server/token:

    coracle agent --server https://THIS-MACHINE:6443 --token TOKEN`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Validate(); err != nil {
				return err
			}
			log, err := newLogger(os.Stderr, &cfg.Common)
			if err != nil {
				return err
			}
			return server.Run(cmd.Context(), &cfg, log)
		},
	}
	cfg.AddFlags(cmd.Flags())
	return cmd
}

// hostname is this machine's name, as the default of its node's name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		fmt.Fprintf(os.Stderr, "coracle: this machine has no name (%v): give one with --node-name\n", err)
	}
	return name
}
