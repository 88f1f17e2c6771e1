package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// file is one file of a volume whose content comes from the API.
type file struct {
	data []byte
	mode os.FileMode
	// uid owns the file when not nil.
	uid *int64
}

// The names of upstream's scheme: files are links into ..data, which is a link to a dated folder, and is replaced as a whole.
const (
	dataLink    = "..data"
	dataLinkTmp = "..data_tmp"
)

// writeAtomically makes the folder hold exactly the files, by path. own is called on the new content before it shows.
func writeAtomically(dir string, files map[string]file, own func(dir string) error) error {
	for name := range files {
		if err := checkPath(name); err != nil {
			return err
		}
	}
	current, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the current version: %w", err)
	}
	if current != "" && same(filepath.Join(dir, current), files) {
		return links(dir, files)
	}
	version, err := os.MkdirTemp(dir, "..version-")
	if err != nil {
		return fmt.Errorf("making the new version's folder: %w", err)
	}
	if err := fill(version, files, own); err != nil {
		return errors.Join(err, os.RemoveAll(version))
	}
	tmp := filepath.Join(dir, dataLinkTmp)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing what an earlier write left: %w", err)
	}
	if err := os.Symlink(filepath.Base(version), tmp); err != nil {
		return fmt.Errorf("linking the new version: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return fmt.Errorf("showing the new version: %w", err)
	}
	if err := links(dir, files); err != nil {
		return err
	}
	return sweep(dir, filepath.Base(version), files)
}

// checkPath refuses paths that leave the volume or collide with the scheme.
func checkPath(name string) error {
	switch {
	case name == "":
		return errors.New("invalid path: must not be empty")
	case filepath.IsAbs(name):
		return fmt.Errorf("invalid path: must be relative path: %s", name)
	case slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("invalid path: must not contain '..': %s", name)
	case strings.HasPrefix(name, ".."):
		return fmt.Errorf("invalid path: must not start with '..': %s", name)
	case filepath.Clean(name) == ".":
		return fmt.Errorf("invalid path: must name a file: %s", name)
	}
	return nil
}

// same says whether the version's folder holds exactly the files.
func same(version string, files map[string]file) bool {
	found, extra := 0, false
	err := filepath.WalkDir(version, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(version, path)
		if err != nil {
			return err
		}
		want, ok := files[name]
		if !ok {
			extra = true
			return fs.SkipAll
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// A group that owns the volume may have got more rights than the mode says, never fewer.
		if bytes.Equal(data, want.data) && info.Mode().Perm()&want.mode == want.mode {
			found++
		}
		return nil
	})
	return err == nil && !extra && found == len(files)
}

func fill(version string, files map[string]file, own func(dir string) error) error {
	if err := os.Chmod(version, 0o755); err != nil { //nolint:gosec // pods of any user read it
		return fmt.Errorf("setting the new version's mode: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		path := filepath.Join(version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as above
			return fmt.Errorf("making the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := os.Chmod(path, f.mode); err != nil {
			return fmt.Errorf("setting the mode of %s: %w", name, err)
		}
		if f.uid != nil {
			if err := os.Chown(path, int(*f.uid), -1); err != nil {
				return fmt.Errorf("setting the owner of %s: %w", name, err)
			}
		}
	}
	if own == nil {
		return nil
	}
	return own(version)
}

// links makes the names that users see: a link into ..data for the first element of every path.
func links(dir string, files map[string]file) error {
	for name := range tops(files) {
		path := filepath.Join(dir, name)
		target := filepath.Join(dataLink, name)
		if have, err := os.Readlink(path); err == nil && have == target {
			continue
		}
		if err := os.Symlink(target, path); err != nil {
			return fmt.Errorf("linking %s: %w", name, err)
		}
	}
	return nil
}

func tops(files map[string]file) map[string]bool {
	names := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(filepath.Clean(name), "/")
		names[top] = true
	}
	return names
}

// sweep removes links without a file and versions of the past.
func sweep(dir, version string, files map[string]file) error {
	wanted := tops(files)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for what is no longer wanted: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if wanted[name] || name == version || name == dataLink {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing %s: %w", name, err)
		}
	}
	return nil
}
