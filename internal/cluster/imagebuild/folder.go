package imagebuild

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Folder keeps the archives of images built on this machine: they are the bases of further builds, and new nodes get them.
type Folder struct{ Dir string }

// Built is an archive in the folder. Config is the digest of the image's configuration (sha256:HEX), which names the image's
// content; Size is in bytes.
type Built struct {
	Reference string
	Path      string
	Config    string
	Size      int64
}

func (f Folder) path(reference string) string {
	// A hash beside the readable part keeps names apart that differ only in what the file system can't hold.
	sum := sha256.Sum256([]byte(reference))
	readable := strings.NewReplacer("/", "_", ":", "_").Replace(reference)
	return filepath.Join(f.Dir, readable[:min(len(readable), 180)]+"-"+hex.EncodeToString(sum[:4])+".tar")
}

// Save writes an image's archive whole or not at all.
func (f Folder) Save(reference string, image v1.Image) (Built, error) {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return Built{}, fmt.Errorf("saving the image %s: %w", reference, err)
	}
	file, err := os.CreateTemp(f.Dir, ".new-*")
	if err != nil {
		return Built{}, fmt.Errorf("saving the image %s: %w", reference, err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone already when all went well
	err = errors.Join(Write(file, reference, image), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.path(reference))
	}
	if err != nil {
		return Built{}, fmt.Errorf("saving the image %s: %w", reference, err)
	}
	return describe(f.path(reference))
}

// Base returns an image of the folder by its name, as Options.Base wants it.
func (f Folder) Base(text string) (v1.Image, error) {
	reference, err := Reference(text)
	if err != nil {
		return nil, err
	}
	path := f.path(reference)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no image %s was built here; build it first", reference)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return nil, fmt.Errorf("the image's name: %w", err)
	}
	image, err := tarball.ImageFromPath(path, &tag)
	if err != nil {
		return nil, fmt.Errorf("reading the archive of %s: %w", reference, err)
	}
	return image, nil
}

// List returns what is in the folder, by name.
func (f Folder) List() ([]Built, error) {
	paths, err := filepath.Glob(filepath.Join(f.Dir, "*.tar"))
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.Sort(paths)
	list := make([]Built, 0, len(paths))
	for _, path := range paths {
		built, err := describe(path)
		if err != nil {
			return nil, err
		}
		list = append(list, built)
	}
	return list, nil
}

func describe(path string) (Built, error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return Built{}, fmt.Errorf("reading the archive %s: %w", path, err)
	}
	if len(manifest) == 0 || len(manifest[0].RepoTags) == 0 {
		return Built{}, fmt.Errorf("the archive %s names no image", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Built{}, fmt.Errorf("reading the archive %s: %w", path, err)
	}
	reference, err := Reference(manifest[0].RepoTags[0])
	if err != nil {
		return Built{}, err
	}
	return Built{Reference: reference, Path: path, Config: manifest[0].Config, Size: info.Size()}, nil
}
