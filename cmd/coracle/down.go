package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/local"
)

func newDownCommand() *cobra.Command {
	var flags clusterFlags
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a local cluster and remove everything it made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := local.Down(cmd.Context(), flags.dataDir, flags.name)
			if err != nil {
				return err
			}
			if found {
				fmt.Fprintf(cmd.OutOrStdout(), "The cluster %q is gone.\n", flags.name)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "There is no cluster %q.\n", flags.name)
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}
