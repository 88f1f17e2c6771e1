package logs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Rotation says how large logs may grow.
type Rotation struct {
	// MaxSize is a file's, in bytes; MaxFiles counts all files of a container, the current one included.
	MaxSize  int64
	MaxFiles int
}

const (
	rotatedFormat = "20060102-150405"
	gzSuffix      = ".gz"
	tmpSuffix     = ".tmp"
)

// Rotate puts the log aside when it is too large and calls reopen, after which the runtime writes a new file. Older files but
// the newest are compressed, the oldest removed.
func (r Rotation) Rotate(path string, now time.Time, reopen func() error) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at a log: %w", err)
	}
	if info.Size() < r.MaxSize {
		return nil
	}
	if err := r.clean(path); err != nil {
		return err
	}
	aside := path + "." + now.Format(rotatedFormat)
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("putting a log aside: %w", err)
	}
	if err := reopen(); err != nil {
		// Without a new file the container would write on into the old one under its new name.
		return errors.Join(fmt.Errorf("reopening a log: %w", err), os.Rename(aside, path))
	}
	return nil
}

// clean compresses and removes rotated files, leaving room for one more.
func (r Rotation) clean(path string) error {
	all, err := filepath.Glob(path + ".*")
	if err != nil {
		return fmt.Errorf("looking for rotated logs: %w", err)
	}
	var files []string
	for _, f := range all {
		if strings.HasSuffix(f, tmpSuffix) {
			if err := os.Remove(f); err != nil {
				return fmt.Errorf("removing an unfinished file: %w", err)
			}
			continue
		}
		files = append(files, f)
	}
	slices.Sort(files) // by time
	keep := max(r.MaxFiles-2, 0)
	for len(files) > keep {
		if err := os.Remove(files[0]); err != nil {
			return fmt.Errorf("removing an old log: %w", err)
		}
		files = files[1:]
	}
	for _, f := range files {
		if strings.HasSuffix(f, gzSuffix) {
			continue
		}
		if err := compress(f); err != nil {
			return err
		}
	}
	return nil
}

func compress(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("compressing a log: %w", err)
	}
	defer in.Close()
	tmp := path + tmpSuffix
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("compressing a log: %w", err)
	}
	gz := gzip.NewWriter(out)
	_, err = io.Copy(gz, in)
	if err := errors.Join(err, gz.Close(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("compressing %s: %w", path, err), os.Remove(tmp))
	}
	if err := os.Rename(tmp, path+gzSuffix); err != nil {
		return fmt.Errorf("compressing %s: %w", path, err)
	}
	return os.Remove(path)
}
