package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/programs"
)

func newKubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl [--data-dir DIR] [--name NAME] ARGUMENTS...",
		Short: "Run the carried kubectl, by default on the local cluster",
		Long: `Run the carried, unmodified kubectl. It talks to the cluster that KUBECONFIG or --kubeconfig names; without them to
the local cluster, or on a machine that runs coracle server to that server. --data-dir and --name come first.`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := clusterFlags{dataDir: config.DefaultDataDir, name: defaultClusterName}
			args, err := flags.take(args)
			if err != nil {
				return err
			}
			set, err := programs.Carried()
			if err != nil {
				return err
			}
			dir, err := set.Only(programs.Kubectl).Unpack(cmd.Context(), kubectlDir(flags.dataDir))
			if err != nil {
				return err
			}
			environ := os.Environ()
			if os.Getenv("KUBECONFIG") == "" && !namesKubeconfig(args) {
				if file, err := flags.kubeconfig(); err == nil {
					environ = append(withoutKubeconfig(environ), "KUBECONFIG="+file)
				} else {
					fmt.Fprintf(cmd.ErrOrStderr(), "coracle: %v; kubectl uses its own configuration\n", err)
				}
			}
			program := filepath.Join(dir, programs.Kubectl)
			return fmt.Errorf("running kubectl: %w", syscall.Exec(program, append([]string{"kubectl"}, args...), environ))
		},
	}
}

// withoutKubeconfig drops an empty KUBECONFIG: of two values, the first would count.
func withoutKubeconfig(environ []string) []string {
	return slices.DeleteFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, "KUBECONFIG=") })
}

// take reads the flags that come before kubectl's own arguments.
func (f *clusterFlags) take(args []string) ([]string, error) {
	for len(args) > 0 {
		name, value, inline := strings.Cut(args[0], "=")
		target := map[string]*string{"--data-dir": &f.dataDir, "--name": &f.name}[name]
		if target == nil {
			break
		}
		args = args[1:]
		if !inline {
			if len(args) == 0 {
				return nil, fmt.Errorf("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		*target = value
	}
	return args, nil
}

// kubeconfig finds the cluster of this machine: a local one, or the one that coracle server runs.
func (f *clusterFlags) kubeconfig() (string, error) {
	file, err := local.KubeconfigPath(f.dataDir, f.name)
	if err == nil {
		return file, nil
	}
	common := config.Common{DataDir: f.dataDir}
	server := filepath.Join(common.ServerPKIDir(), "admin.kubeconfig")
	if _, statErr := os.Stat(server); statErr == nil {
		return server, nil
	} else if !errors.Is(statErr, fs.ErrNotExist) {
		return "", fmt.Errorf("looking for a kubeconfig: %w", statErr)
	}
	return "", err
}

func namesKubeconfig(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--kubeconfig" || strings.HasPrefix(arg, "--kubeconfig=") {
			return true
		}
	}
	return false
}

// kubectlDir is where kubectl is unpacked: the machine's folder for root, the user's own otherwise.
func kubectlDir(dataDir string) string {
	common := config.Common{DataDir: dataDir}
	if os.Geteuid() == 0 {
		return common.ProgramsDir()
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "coracle", "bin")
}
