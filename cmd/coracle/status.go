package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/local"
)

// statusTimeout is how long the API server may take to say how its nodes are.
const statusTimeout = 5 * time.Second

func newStatusCommand() *cobra.Command {
	var (
		flags  clusterFlags
		output string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a local cluster is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output: %q is not json", output)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), statusTimeout)
			defer cancel()
			status, err := local.Describe(ctx, flags.dataDir, flags.name)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			}
			return printStatus(cmd.OutOrStdout(), status)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "form of the output: json (default: for people)")
	return cmd
}

func printStatus(out io.Writer, s *local.Status) error {
	state := "is running"
	if !s.Running {
		state = "is not running; coracle up starts what is missing"
	}
	fmt.Fprintf(out, "The cluster %q %s.\nAPI server  %s\nKubeconfig  %s\n\n", s.Name, state, s.Server, s.Kubeconfig)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NODE\tADDRESS\tPROCESS\tREADY\tLOG")
	for _, n := range s.Nodes {
		process, ready := "none", n.Ready
		if n.PID != 0 {
			process = fmt.Sprint(n.PID)
		}
		if ready == "" {
			ready = "unknown"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Address, process, ready, n.Log)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	if s.Problem != "" {
		fmt.Fprintln(out, "\nThe API server could not be asked:", s.Problem)
	}
	return nil
}
