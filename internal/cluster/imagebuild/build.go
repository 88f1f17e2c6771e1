package imagebuild

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// PauseImage is the name of the image of the process that holds a pod's namespaces.
const PauseImage = "coracle.dev/pause:1"

// Options of a build.
type Options struct {
	// Context is the folder that COPY reads from.
	Context string
	// Dockerfile is the file's path; empty means Context/Dockerfile.
	Dockerfile string
	// Base returns an image by the name that FROM gives; it is not asked for "scratch".
	Base func(name string) (v1.Image, error)
}

// Build makes an image.
func Build(opts Options) (v1.Image, error) {
	if opts.Dockerfile == "" {
		opts.Dockerfile = filepath.Join(opts.Context, "Dockerfile")
	}
	file, err := os.Open(opts.Dockerfile)
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	defer file.Close()
	spec, err := Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Dockerfile, err)
	}
	base := v1.Image(empty.Image)
	if spec.From != "scratch" {
		if opts.Base == nil {
			return nil, fmt.Errorf("%s: there is no image %q here", opts.Dockerfile, spec.From)
		}
		if base, err = opts.Base(spec.From); err != nil {
			return nil, fmt.Errorf("%s: FROM %s: %w", opts.Dockerfile, spec.From, err)
		}
	}
	root, err := os.OpenRoot(opts.Context)
	if err != nil {
		return nil, fmt.Errorf("opening the folder to build from: %w", err)
	}
	defer root.Close()
	image, err := assemble(base, root, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Dockerfile, err)
	}
	return image, nil
}

func assemble(image v1.Image, root *os.Root, spec *Spec) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base image: %w", err)
	}
	settings := settingsOf(config.Config)
	for _, step := range spec.Steps {
		if step.Apply != nil {
			step.Apply(settings)
			continue
		}
		layer, err := copyLayer(root, step.Copy)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", step.Line, err)
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:   layer,
			History: v1.History{CreatedBy: "COPY " + strings.Join(step.Copy.Sources, " ") + " " + step.Copy.Destination},
		})
		if err != nil {
			return nil, fmt.Errorf("line %d: adding a layer: %w", step.Line, err)
		}
	}
	return configure(image, settings)
}

func settingsOf(c v1.Config) *Settings {
	s := &Settings{
		Env: append([]string(nil), c.Env...), Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, User: c.User,
		StopSignal: c.StopSignal, Ports: map[string]struct{}{}, Labels: map[string]string{},
	}
	for port := range c.ExposedPorts {
		s.Ports[port] = struct{}{}
	}
	for label, value := range c.Labels {
		s.Labels[label] = value
	}
	return s
}

func configure(image v1.Image, s *Settings) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading an image's configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config.Env, config.Config.Entrypoint, config.Config.Cmd = s.Env, s.Entrypoint, s.Cmd
	config.Config.WorkingDir, config.Config.User, config.Config.StopSignal = s.WorkingDir, s.User, s.StopSignal
	config.Config.ExposedPorts, config.Config.Labels = s.Ports, s.Labels
	if len(config.Config.Env) == 0 {
		config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	out, err := mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("writing an image's configuration: %w", err)
	}
	return out, nil
}

// Reference completes an image's name as containerd and the CRI name it: docker.io/library/NAME:latest where parts are missing.
func Reference(text string) (string, error) {
	tag, err := name.NewTag(text)
	if err != nil {
		return "", fmt.Errorf("the image's name: %w", err)
	}
	registry := tag.RegistryStr()
	if registry == name.DefaultRegistry {
		registry = "docker.io"
	}
	return registry + "/" + tag.RepositoryStr() + ":" + tag.TagStr(), nil
}

// Write writes an image as an archive that docker load and containerd read.
func Write(w io.Writer, reference string, image v1.Image) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("the image's name: %w", err)
	}
	if err := tarball.Write(tag, image, w); err != nil {
		return fmt.Errorf("writing the archive of %s: %w", reference, err)
	}
	return nil
}

// Pause returns the archive of PauseImage, made from the carried program.
func Pause(program string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(program))
	if err != nil {
		return nil, fmt.Errorf("building the pause image: %w", err)
	}
	defer root.Close()
	image, err := assemble(empty.Image, root, &Spec{From: "scratch", Steps: []Step{
		{Copy: &Copy{Sources: []string{filepath.Base(program)}, Destination: "/pause", Mode: 0o755}},
		{Apply: func(s *Settings) { s.Entrypoint, s.User = []string{"/pause"}, "65535:65535" }},
	}})
	if err != nil {
		return nil, fmt.Errorf("building the pause image: %w", err)
	}
	var out bytes.Buffer
	if err := Write(&out, PauseImage, image); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
