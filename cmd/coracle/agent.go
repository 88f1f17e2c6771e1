package main

import (
	"os"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/agent"
	"coracle.dev/coracle/internal/cluster/config"
)

func newAgentCommand() *cobra.Command {
	cfg := config.DefaultAgent(hostname())
	cmd := &cobra.Command{
		Use:   "agent --server URL --token TOKEN",
		Short: "Run this machine as a node of another machine's cluster",
		Long: `Run this machine as a node, in the foreground. The token is in DATA-DIR/server/token on the server; it is needed
once: the node then has certificates of its own and renews them. Containers go on running when the agent stops and are
adopted when it starts again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Validate(); err != nil {
				return err
			}
			log, err := newLogger(os.Stderr, &cfg.Common)
			if err != nil {
				return err
			}
			return agent.Run(cmd.Context(), &cfg, log)
		},
	}
	cfg.AddFlags(cmd.Flags())
	return cmd
}
