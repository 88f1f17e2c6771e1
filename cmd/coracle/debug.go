package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/controllers"
	"coracle.dev/coracle/internal/reconcile"
)

func newDebugCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "debug", Short: "Look into Coracle itself"}
	cmd.AddCommand(newGraphCommand())
	return cmd
}

func newGraphCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "graph",
		Short: "Show what each controller reads and writes, from its declarations",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := controllers.All(controllers.Config{})
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "CONTROLLER\tREADS\tWRITES")
			for _, e := range reconcile.Graph(list...) {
				fmt.Fprintf(w, "%s\t%s\t%s\n", e.Controller, strings.Join(e.Reads, ", "), strings.Join(e.Writes, ", "))
			}
			return w.Flush()
		},
	}
}
