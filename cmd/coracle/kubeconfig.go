package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/local"
)

func newKubeconfigCommand() *cobra.Command {
	var (
		flags clusterFlags
		path  bool
	)
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the administrator's kubeconfig of a local cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := local.KubeconfigPath(flags.dataDir, flags.name)
			if err != nil {
				return err
			}
			if path {
				fmt.Fprintln(cmd.OutOrStdout(), file)
				return nil
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&path, "path", false, "print the file's path instead of its content")
	return cmd
}
