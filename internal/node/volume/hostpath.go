package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
)

// checkHostPath verifies what the type of a hostPath promises, and creates what it may.
func checkHostPath(h *v1.HostPathVolumeSource) error {
	kind := v1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	switch kind {
	case v1.HostPathUnset:
		return nil
	case v1.HostPathDirectoryOrCreate:
		if _, err := os.Stat(h.Path); errors.Is(err, fs.ErrNotExist) {
			return os.MkdirAll(h.Path, 0o755) //nolint:gosec // the mode that the API promises
		}
		return expect(h.Path, "directory", fs.FileMode.IsDir)
	case v1.HostPathFileOrCreate:
		if _, err := os.Stat(h.Path); errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(filepath.Dir(h.Path)); err != nil {
				return err
			}
			f, err := os.OpenFile(h.Path, os.O_CREATE, 0o644) //nolint:gosec // the mode that the API promises
			if err != nil {
				return err
			}
			return f.Close()
		}
		return expect(h.Path, "file", fs.FileMode.IsRegular)
	case v1.HostPathDirectory:
		return expect(h.Path, "directory", fs.FileMode.IsDir)
	case v1.HostPathFile:
		return expect(h.Path, "file", fs.FileMode.IsRegular)
	case v1.HostPathSocket:
		return expect(h.Path, "socket file", func(m fs.FileMode) bool { return m.Type() == fs.ModeSocket })
	case v1.HostPathCharDev:
		return expect(h.Path, "character device", func(m fs.FileMode) bool { return m&fs.ModeCharDevice != 0 })
	case v1.HostPathBlockDev:
		return expect(h.Path, "block device", func(m fs.FileMode) bool {
			return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0
		})
	}
	return fmt.Errorf("%s is an invalid volume type", kind)
}

func expect(path, what string, is func(fs.FileMode) bool) error {
	info, err := os.Stat(path)
	if err != nil || !is(info.Mode()) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", path, what)
	}
	return nil
}
