package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/imagebuild"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/runtime"
)

func newImageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Build, import and list container images without a registry"}
	cmd.AddCommand(newImageBuildCommand(), newImageImportCommand(), newImageListCommand())
	return cmd
}

func (f *clusterFlags) images() imagebuild.Folder {
	common := config.Common{DataDir: f.dataDir}
	return imagebuild.Folder{Dir: common.ImagesDir()}
}

// sockets returns the containerd sockets of this machine: those of the local cluster's nodes, and that of an agent which runs
// here itself.
func (f *clusterFlags) sockets() (map[string]string, error) {
	sockets := map[string]string{}
	names, err := local.List(f.dataDir)
	if err != nil {
		return nil, err
	}
	if slices.Contains(names, f.name) {
		if sockets, err = local.ContainerdSockets(f.dataDir, f.name); err != nil {
			return nil, err
		}
	}
	common := config.Common{StateDir: config.DefaultStateDir}
	own := runtime.Config{State: common.ContainerdStateDir()}
	if _, err := os.Stat(own.Socket()); err == nil {
		sockets["this machine"] = own.Socket()
	}
	return sockets, nil
}

func newImageBuildCommand() *cobra.Command {
	var (
		flags clusterFlags
		opts  imagebuild.Options
		tag   string
	)
	cmd := &cobra.Command{
		Use:   "build DIRECTORY --tag NAME",
		Short: "Build an image from a Dockerfile and give it to every node",
		Long: `Build an image from a Dockerfile and the files of a directory, keep it on this machine, and give it to every node
of the local cluster. Nothing is executed and nothing is fetched: the Dockerfile may hold FROM (scratch, or an image that
was built here), COPY, ENV, ENTRYPOINT, CMD, EXPOSE, WORKDIR, USER, LABEL and STOPSIGNAL.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Context, opts.Base = args[0], flags.images().Base
			reference, err := imagebuild.Reference(tag)
			if err != nil {
				return err
			}
			image, err := imagebuild.Build(opts)
			if err != nil {
				return err
			}
			built, err := flags.images().Save(reference, image)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Built %s (%d bytes).\n", built.Reference, built.Size)
			return flags.distribute(cmd.Context(), built.Path, cmd.OutOrStdout())
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&tag, "tag", "t", "", "name of the image")
	cmd.Flags().StringVarP(&opts.Dockerfile, "file", "f", "", "path of the Dockerfile (default DIRECTORY/Dockerfile)")
	cobra.CheckErr(cmd.MarkFlagRequired("tag"))
	return cmd
}

func newImageImportCommand() *cobra.Command {
	var flags clusterFlags
	cmd := &cobra.Command{
		Use:   "import ARCHIVE...",
		Short: "Give the images of archives (docker save or OCI layout) to every node",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, archive := range args {
				if err := flags.distribute(cmd.Context(), archive, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

// distribute imports an archive into every containerd of this machine.
func (f *clusterFlags) distribute(ctx context.Context, archive string, out io.Writer) error {
	sockets, err := f.sockets()
	if err != nil {
		return err
	}
	if len(sockets) == 0 {
		fmt.Fprintln(out, "No node runs; nodes that start later get what was built here.")
	}
	var errs []error
	for _, node := range slices.Sorted(maps.Keys(sockets)) {
		names, err := importInto(ctx, sockets[node], archive)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", node, err))
			continue
		}
		for _, name := range names {
			fmt.Fprintf(out, "Imported %s into %s.\n", name, node)
		}
	}
	return errors.Join(errs...)
}

func importInto(ctx context.Context, socket, archive string) ([]string, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	defer file.Close()
	images, err := runtime.OpenImages(socket, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = images.Close() }() // only a connection
	return images.Import(ctx, file)
}

func newImageListCommand() *cobra.Command {
	var flags clusterFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of every node, and those built on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "WHERE\tIMAGE\tDIGEST\tBYTES")
			built, err := flags.images().List()
			if err != nil {
				return err
			}
			for _, image := range built {
				fmt.Fprintf(w, "built here\t%s\t%s\t%d\n", image.Reference, image.Config, image.Size)
			}
			sockets, err := flags.sockets()
			if err != nil {
				return err
			}
			for _, node := range slices.Sorted(maps.Keys(sockets)) {
				if err := listInto(cmd.Context(), w, node, sockets[node]); err != nil {
					return err
				}
			}
			return w.Flush()
		},
	}
	flags.add(cmd)
	return cmd
}

func listInto(ctx context.Context, w io.Writer, node, socket string) error {
	images, err := runtime.OpenImages(socket, "")
	if err != nil {
		return err
	}
	defer func() { _ = images.Close() }() // only a connection
	list, err := images.List(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", node, err)
	}
	for _, image := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", node, image.Name, image.Digest, image.Size)
	}
	return nil
}
