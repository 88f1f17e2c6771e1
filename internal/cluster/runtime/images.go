package runtime

import (
	"context"
	"fmt"
	"io"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
)

// Images puts images into a running containerd and lists them. Safe for concurrent use.
type Images struct {
	client      *containerd.Client
	snapshotter string
}

// OpenImages connects to the containerd behind a socket. Without a snapshotter, images are not unpacked when they come but when
// their first container starts. The caller closes the result.
func OpenImages(socket, snapshotter string) (*Images, error) {
	client, err := containerd.New(socket, containerd.WithDefaultNamespace(Namespace))
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd at %s: %w", socket, err)
	}
	return &Images{client: client, snapshotter: snapshotter}, nil
}

// Close ends the connection.
func (i *Images) Close() error { return i.client.Close() }

// Image is an image in containerd.
type Image struct {
	Name   string
	Digest string
	// Size of the content in bytes.
	Size int64
}

// List returns the images of the CRI's namespace by the names that people gave them. The CRI keeps each under its digest too.
func (i *Images) List(ctx context.Context) ([]Image, error) {
	list, err := i.client.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	out := make([]Image, 0, len(list))
	for _, image := range list {
		if strings.HasPrefix(image.Name(), "sha256:") {
			continue
		}
		size, err := image.Size(ctx)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("measuring the image %s: %w", image.Name(), err)
		}
		out = append(out, Image{Name: image.Name(), Digest: image.Target().Digest.String(), Size: size})
	}
	return out, nil
}

// Has tells whether an image is there, complete and unpacked. With a config digest (sha256:HEX) it must be that very image. It
// needs a snapshotter.
func (i *Images) Has(ctx context.Context, name, config string) (bool, error) {
	has, err := i.has(ctx, name, config)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the image %s: %w", name, err)
	}
	return has, nil
}

func (i *Images) has(ctx context.Context, name, config string) (bool, error) {
	image, err := i.client.GetImage(ctx, name)
	if err != nil {
		return false, err
	}
	descriptor, err := image.Config(ctx)
	if err != nil {
		return false, err
	}
	if config != "" && descriptor.Digest.String() != config {
		return false, nil
	}
	return image.IsUnpacked(ctx, i.snapshotter)
}

// Import reads images from an archive (OCI layout or docker save, with or without compression) and unpacks them, so that the
// next container starts at once. It returns their names.
func (i *Images) Import(ctx context.Context, archive io.Reader) ([]string, error) {
	list, err := i.client.Import(ctx, archive, containerd.WithImportPlatform(platforms.Default()))
	if err != nil {
		return nil, fmt.Errorf("importing images: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, entry := range list {
		names = append(names, entry.Name)
		if i.snapshotter == "" {
			continue
		}
		image := containerd.NewImageWithPlatform(i.client, entry, platforms.Default())
		if err := image.Unpack(ctx, i.snapshotter); err != nil {
			return names, fmt.Errorf("unpacking the image %s: %w", entry.Name, err)
		}
	}
	return names, nil
}

// Ensure imports the archive that open returns, unless the image is there; see Has.
func (i *Images) Ensure(ctx context.Context, name, config string, open func() (io.ReadCloser, error)) error {
	have, err := i.Has(ctx, name, config)
	if err != nil || have {
		return err
	}
	archive, err := open()
	if err != nil {
		return fmt.Errorf("opening the archive of %s: %w", name, err)
	}
	defer archive.Close()
	names, err := i.Import(ctx, archive)
	if err != nil {
		return err
	}
	for _, got := range names {
		if got == name {
			return nil
		}
	}
	return fmt.Errorf("the archive of %s holds %v", name, names)
}
