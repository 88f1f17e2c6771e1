package imagebuild

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entry is one thing in a layer: content in memory or in a file.
type entry struct {
	header tar.Header
	source string // path of a regular file's content
}

// copyLayer makes the layer of one COPY. Symbolic links are kept as links; a source outside the folder is refused.
func copyLayer(root *os.Root, c *Copy) (v1.Layer, error) {
	entries := map[string]entry{}
	for _, pattern := range c.Sources {
		names, err := expand(root, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := addSource(root, entries, c, name, len(names) > 1); err != nil {
				return nil, fmt.Errorf("COPY %s: %w", name, err)
			}
		}
	}
	return buildLayer(root, entries)
}

func expand(root *os.Root, pattern string) ([]string, error) {
	pattern = strings.TrimPrefix(path.Clean("/"+pattern), "/")
	if pattern == "" {
		return []string{"."}, nil
	}
	names, err := fs.Glob(root.FS(), pattern)
	if err != nil {
		return nil, fmt.Errorf("COPY %s: %w", pattern, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("COPY %s: no such file", pattern)
	}
	return names, nil
}

// addSource adds a file, or the content of a folder, as COPY does.
func addSource(root *os.Root, entries map[string]entry, c *Copy, name string, several bool) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		target := c.Destination
		if strings.HasSuffix(target, "/") || several {
			target = path.Join(target, path.Base(name))
		}
		return addEntry(root, entries, c, name, target, info)
	}
	return fs.WalkDir(root.FS(), name, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(at)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(name, at)
		if err != nil {
			return err
		}
		return addEntry(root, entries, c, at, path.Join(c.Destination, inside), info)
	})
}

func addEntry(root *os.Root, entries map[string]entry, c *Copy, name, target string, info fs.FileInfo) error {
	target = strings.TrimPrefix(path.Clean(target), "/")
	if target == "" || target == "." {
		return nil
	}
	e := entry{header: tar.Header{Name: target, Mode: int64(info.Mode().Perm()), Uid: c.UID, Gid: c.GID}}
	switch {
	case info.IsDir():
		e.header.Typeflag, e.header.Name = tar.TypeDir, target+"/"
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := root.Readlink(name)
		if err != nil {
			return err
		}
		e.header.Typeflag, e.header.Linkname, e.header.Mode = tar.TypeSymlink, link, 0o777
	case info.Mode().IsRegular():
		e.header.Typeflag, e.header.Size, e.source = tar.TypeReg, info.Size(), name
		if c.Mode != 0 {
			e.header.Mode = c.Mode
		}
	default:
		return errors.New("only files, folders and symbolic links can be copied")
	}
	// Folders on the way are named too, as root's and readable, unless something says otherwise.
	for dir := path.Dir(target); dir != "."; dir = path.Dir(dir) {
		if _, have := entries[dir]; !have {
			entries[dir] = entry{header: tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}}
		}
	}
	entries[target] = e
	return nil
}

// buildLayer writes the entries in the order of their names, with a fixed time. It is kept in memory: what is built here are
// small programs.
func buildLayer(root *os.Root, entries map[string]entry) (v1.Layer, error) {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		if err := writeEntry(w, root, entries[name]); err != nil {
			return nil, fmt.Errorf("writing %s into a layer: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing a layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(out.Bytes())), nil
	})
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return layer, nil
}

func writeEntry(w *tar.Writer, root *os.Root, e entry) error {
	header := e.header
	header.Format, header.ModTime = tar.FormatPAX, time.Unix(0, 0)
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	if e.source == "" {
		return nil
	}
	file, err := root.Open(e.source)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}
