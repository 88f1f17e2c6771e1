package nodeengine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/imagebuild"
	"coracle.dev/coracle/internal/cluster/programs"
	"coracle.dev/coracle/internal/cluster/runtime"
)

// Engine is containerd for one node. Run it, then Seed it; afterwards the CRI at Endpoint can start pods.
type Engine struct {
	*runtime.Supervisor

	cfg       runtime.Config
	imagesDir string
	log       *slog.Logger
}

// New unpacks the helper programs and decides how containerd runs on this machine.
func New(ctx context.Context, agent *config.Agent, log *slog.Logger) (*Engine, error) {
	set, err := programs.Carried()
	if err != nil {
		return nil, err
	}
	binaries, err := set.ForNodes().Unpack(ctx, agent.ProgramsDir())
	if err != nil {
		return nil, err
	}
	cfg := runtime.Config{
		Binaries: binaries, Root: agent.ContainerdDir(), State: agent.ContainerdStateDir(), CNIConfDir: agent.CNIConfDir(),
		CNIBinDirs: []string{"/opt/cni/bin"}, RegistryConfigDir: agent.RegistryConfigDir, Snapshotter: agent.Snapshotter,
		PauseImage: imagebuild.PauseImage, RestrictOOMScoreAdj: runtime.RestrictsOOMScore(),
		LogFile: filepath.Join(agent.AgentDir(), "containerd.log"), Environ: passedOn(os.Environ()),
	}
	if cfg.RegistryConfigDir == "" {
		cfg.RegistryConfigDir = filepath.Join(agent.AgentDir(), "registries")
	}
	if cfg.Snapshotter == "auto" {
		if cfg.Snapshotter, err = runtime.ChooseSnapshotter(cfg.Root); err != nil {
			return nil, err
		}
	}
	return &Engine{Supervisor: runtime.New(cfg, log), cfg: cfg, imagesDir: agent.ImagesDir(), log: log}, nil
}

// passedOn keeps of the environment what containerd needs: proxies for pulling images.
func passedOn(environ []string) []string {
	var out []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME":
			out = append(out, variable)
		}
	}
	return out
}

// Endpoint is the CRI's socket, in the form unix://PATH.
func (e *Engine) Endpoint() string { return e.cfg.Endpoint() }

// Config is how containerd runs.
func (e *Engine) Config() runtime.Config { return e.cfg }

// Seed waits until containerd serves and puts in the images that are missing. An archive that can't be read hinders the
// others as little as the node.
func (e *Engine) Seed(ctx context.Context) error {
	if err := e.Ready(ctx); err != nil {
		return err
	}
	images, err := runtime.OpenImages(e.cfg.Socket(), e.cfg.Snapshotter)
	if err != nil {
		return err
	}
	defer func() { _ = images.Close() }() // only a connection
	err = images.Ensure(ctx, imagebuild.PauseImage, "", func() (io.ReadCloser, error) {
		archive, err := imagebuild.Pause(filepath.Join(e.cfg.Binaries, programs.Pause))
		return io.NopCloser(bytes.NewReader(archive)), err
	})
	if err != nil {
		return fmt.Errorf("putting in the pause image: %w", err)
	}
	built, err := imagebuild.Folder{Dir: e.imagesDir}.List()
	if err != nil {
		e.log.Warn("images built on this machine are left out", "error", err)
		return nil
	}
	for _, image := range built {
		err := images.Ensure(ctx, image.Reference, image.Config, func() (io.ReadCloser, error) { return os.Open(image.Path) })
		if err != nil && ctx.Err() == nil {
			e.log.Warn("an image built on this machine is left out", "image", image.Reference, "error", err)
		}
	}
	return ctx.Err()
}
