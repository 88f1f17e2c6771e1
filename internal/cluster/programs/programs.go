package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// The names of the programs.
const (
	Containerd = "containerd"
	Shim       = "containerd-shim-runc-v2"
	Runc       = "runc"
	Kubectl    = "kubectl"
	CNI        = "coracle-cni"
	Init       = "coracle-init"
	Pause      = "pause"
)

const partialPrefix = ".partial-"

//go:embed assets
var assets embed.FS

// ErrNotBuilt says that the binary was built without its helper programs.
var ErrNotBuilt = errors.New("this binary carries no helper programs; build it with `make build`")

// Program is one carried program: its size in bytes and its SHA-256 before compression.
type Program struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Set is a set of carried programs. Immutable; safe for concurrent use.
type Set struct {
	files    fs.FS
	programs []Program
	hash     string
}

// Carried returns the set inside this binary, or ErrNotBuilt.
func Carried() (*Set, error) {
	sub, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("reading the helper programs: %w", err)
	}
	return Open(sub)
}

// Open reads a set from a folder that holds manifest.json and NAME.zst files.
func Open(files fs.FS) (*Set, error) {
	manifest, err := fs.ReadFile(files, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of helper programs: %w", err)
	}
	set := &Set{files: files}
	if err := json.Unmarshal(manifest, &set.programs); err != nil {
		return nil, fmt.Errorf("reading the list of helper programs: %w", err)
	}
	valid := regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	for _, p := range set.programs {
		if !valid.MatchString(p.Name) {
			return nil, fmt.Errorf("reading the list of helper programs: %q is no program's name", p.Name)
		}
	}
	set.name()
	return set, nil
}

// name gives the set its hash.
func (s *Set) name() {
	sum := sha256.New()
	for _, p := range s.programs {
		fmt.Fprintln(sum, p.Name, p.Size, p.SHA256)
	}
	s.hash = hex.EncodeToString(sum.Sum(nil)[:8])
}

// ForNodes returns the part of the set that nodes run: all but kubectl, which is half of it and often not needed.
func (s *Set) ForNodes() *Set {
	return s.filter(func(name string) bool { return name != Kubectl })
}

// Only returns the part of the set that is one program.
func (s *Set) Only(program string) *Set {
	return s.filter(func(name string) bool { return name == program })
}

func (s *Set) filter(keep func(name string) bool) *Set {
	part := &Set{files: s.files}
	for _, p := range s.programs {
		if keep(p.Name) {
			part.programs = append(part.programs, p)
		}
	}
	part.name()
	return part
}

// Hash names the set: another build's set has another hash.
func (s *Set) Hash() string { return s.hash }

// Programs lists the set.
func (s *Set) Programs() []Program { return append([]Program(nil), s.programs...) }

// Unpack makes sure that dir/HASH holds the whole set and returns that folder. Several processes may call it at once.
func (s *Set) Unpack(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("unpacking the helper programs: %w", err)
	}
	target := filepath.Join(dir, s.hash)
	if s.complete(target) {
		return target, nil
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return "", fmt.Errorf("unpacking the helper programs: %w", err)
	}
	defer unlock()
	if s.complete(target) {
		return target, nil
	}
	if err := s.unpackLocked(ctx, dir, target); err != nil {
		return "", fmt.Errorf("unpacking the helper programs: %w", err)
	}
	return target, nil
}

// complete tells whether a folder holds the set. Content needs no second look: a folder gets its name only after everything
// in it was checked and synced; sizes and modes catch what was cut or changed by hand.
func (s *Set) complete(dir string) bool {
	for _, p := range s.programs {
		info, err := os.Lstat(filepath.Join(dir, p.Name))
		if err != nil || !info.Mode().IsRegular() || info.Size() != p.Size || info.Mode().Perm() != 0o755 {
			return false
		}
	}
	return true
}

func (s *Set) unpackLocked(ctx context.Context, dir, target string) error {
	if err := removePartial(dir); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(dir, partialPrefix)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(partial) }() // what stays is removed by the next unpacking
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range s.programs {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return s.unpackOne(p, filepath.Join(partial, p.Name))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := syncDir(partial); err != nil {
		return err
	}
	// A damaged folder may be in the way. Programs that run from it keep their files until they end.
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := os.Rename(partial, target); err != nil {
		return err
	}
	return syncDir(dir)
}

func (s *Set) unpackOne(p Program, path string) error {
	packed, err := fs.ReadFile(s.files, p.Name+".zst")
	if err != nil {
		return err
	}
	reader, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	defer reader.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), io.LimitReader(reader, p.Size+1))
	// The folder above is private; the mode lets a container that gets a program by bind mount run it.
	err = errors.Join(err, file.Chmod(0o755), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%s: its content has the hash %s, not %s", p.Name, got, p.SHA256)
	}
	return nil
}

func removePartial(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partialPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
