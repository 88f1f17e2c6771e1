package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
)

// Namespace is the namespace of containerd in which the CRI keeps its images and containers.
const Namespace = "k8s.io"

// The snapshotters that the carried containerd knows.
const (
	Overlayfs = "overlayfs"
	Native    = "native"
)

// Config says how containerd is to run. Paths are absolute.
type Config struct {
	// Binaries is the folder of containerd, its shim, runc and our CNI plugin.
	Binaries string
	// Root keeps images and snapshots over a reboot; State holds sockets and what belongs to running containers, and must
	// be on a file system that a reboot empties.
	Root, State string
	// CNIConfDir is read for network configurations, CNIBinDirs for plugins, after Binaries.
	CNIConfDir string
	CNIBinDirs []string
	// RegistryConfigDir holds hosts.toml files for registries (mirrors, authorities).
	RegistryConfigDir string
	// Snapshotter is Overlayfs or Native; see ChooseSnapshotter.
	Snapshotter string
	// PauseImage is the image of the process that holds a pod's namespaces.
	PauseImage string
	// RestrictOOMScoreAdj is for machines where containers can't be given a lower OOM score than containerd's; see
	// RestrictsOOMScore.
	RestrictOOMScoreAdj bool
	// LogFile gets containerd's own log.
	LogFile string
	// Environ is what containerd's environment holds besides the PATH, such as HTTPS_PROXY.
	Environ []string
}

// Socket is the path of the socket where containerd and its CRI are served.
func (c Config) Socket() string { return filepath.Join(c.State, "containerd.sock") }

// Endpoint is the socket as a CRI endpoint.
func (c Config) Endpoint() string { return "unix://" + c.Socket() }

func (c Config) validate() error {
	for _, path := range []string{c.Binaries, c.Root, c.State, c.CNIConfDir, c.LogFile} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("containerd's path %q is not absolute", path)
		}
	}
	if c.Snapshotter != Overlayfs && c.Snapshotter != Native {
		return fmt.Errorf("containerd's snapshotter %q is neither %s nor %s", c.Snapshotter, Overlayfs, Native)
	}
	if c.PauseImage == "" {
		return errors.New("the name of the pause image is missing")
	}
	// The longest socket below State is a task's; the kernel's limit on socket paths is 107 bytes.
	if len(c.Socket()) > 100 {
		return fmt.Errorf("the path %s is too long for a socket", c.Socket())
	}
	return nil
}

const configText = `# Written at every start; changes are lost.
version = 4
root = {{q .Root}}
state = {{q .State}}
imports = []

[plugins.'io.containerd.server.v1.grpc']
  address = {{q .Socket}}

[plugins.'io.containerd.server.v1.ttrpc']
  address = {{q (print .Socket ".ttrpc")}}

# The CRI's exec, attach and port-forward streams are served on loopback only; the agent relays them.
[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = {{q .Snapshotter}}
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = {{q .PauseImage}}
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = {{q .RegistryConfigDir}}

[plugins.'io.containerd.transfer.v1.local']
  config_path = {{q .RegistryConfigDir}}
  [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]
    differ = "walking"
    platform = {{q .Platform}}
    snapshotter = {{q .Snapshotter}}

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {{.RestrictOOMScoreAdj}}
  netns_mounts_under_state_dir = true
  cdi_spec_dirs = []
  enable_criu = false
  # Each collection asks every shim. Consumers of CPU rates ask every 15 s or less often.
  stats_collect_period = "10s"
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [{{range $i, $dir := .BinDirs}}{{if $i}}, {{end}}{{q $dir}}{{end}}]
    conf_dir = {{q .CNIConfDir}}
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = {{q .Runc}}
        SystemdCgroup = false

[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.internal.v1.opt']
  path = {{q (print .Root "/opt")}}
`

// toml returns containerd's configuration file.
func (c Config) toml(platform string) ([]byte, error) {
	text, err := template.New("containerd").Funcs(template.FuncMap{"q": quote}).Parse(configText)
	if err != nil {
		return nil, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	var out bytes.Buffer
	err = text.Execute(&out, struct {
		Config
		Platform, Runc string
		BinDirs        []string
	}{c, platform, filepath.Join(c.Binaries, "runc"), append([]string{c.Binaries}, c.CNIBinDirs...)})
	if err != nil {
		return nil, fmt.Errorf("writing containerd's configuration: %w", err)
	}
	return out.Bytes(), nil
}

// quote writes a TOML basic string.
func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// ChooseSnapshotter returns Overlayfs when the folder's file system can carry overlays, and Native otherwise.
func ChooseSnapshotter(root string) (string, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", fmt.Errorf("choosing a snapshotter: %w", err)
	}
	if err := overlayutils.Supported(root); err != nil {
		return Native, nil
	}
	return Overlayfs, nil
}

// RestrictsOOMScore tells whether this process may not lower its OOM score adjustment, as in a container without the
// capability. It tries with its own and puts it back.
func RestrictsOOMScore() bool {
	const file = "/proc/self/oom_score_adj"
	data, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	current, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || current <= -1000 {
		return err != nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(current-1)), 0); err != nil {
		return true
	}
	return os.WriteFile(file, data, 0) != nil
}
