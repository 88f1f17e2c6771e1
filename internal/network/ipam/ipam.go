package ipam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Owner is who holds an address.
type Owner struct {
	ContainerID string
	Interface   string
}

func (o Owner) encode() []byte { return []byte(o.ContainerID + "\n" + o.Interface + "\n") }

// parseOwner returns ok=false for a file that holds no owner (the machine lost power before it reached the disk).
func parseOwner(b []byte) (Owner, bool) {
	id, rest, _ := strings.Cut(string(b), "\n")
	name, _, ok := strings.Cut(rest, "\n")
	return Owner{ContainerID: id, Interface: name}, ok && id != ""
}

// FullError says that a range has no free address.
type FullError struct {
	Range netip.Prefix
}

func (e *FullError) Error() string { return "no free address in " + e.Range.String() }

// Pool allocates addresses. Any number of Pools on the same directory, in any number of processes, may be used at once.
type Pool struct {
	dir    string
	ranges []netip.Prefix
}

// New returns a pool that keeps its files in dir, which is made when missing. At most one range per IP family is of use: an
// owner gets one address of each range.
func New(dir string, ranges []netip.Prefix) (*Pool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the address folder: %w", err)
	}
	p := &Pool{dir: dir}
	for _, r := range ranges {
		p.ranges = append(p.ranges, r.Masked())
	}
	return p, nil
}

// Allocate gives the owner an address of each range. An owner that has addresses already gets the same again.
func (p *Pool) Allocate(owner Owner) ([]netip.Addr, error) {
	unlock, err := p.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	taken, err := p.read()
	if err != nil {
		return nil, err
	}
	out := make([]netip.Addr, 0, len(p.ranges))
	for _, r := range p.ranges {
		a, ok := ownedIn(taken, r, owner)
		if !ok {
			if a, err = p.take(r, taken, owner); err != nil {
				return nil, errors.Join(err, p.release(func(o Owner) bool { return o == owner }))
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// Release frees the owner's addresses. It is no error when there are none.
func (p *Pool) Release(owner Owner) error {
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return p.release(func(o Owner) bool { return o == owner })
}

// Owners returns all owners, each once.
func (p *Pool) Owners() ([]Owner, error) {
	taken, err := p.read()
	if err != nil {
		return nil, err
	}
	seen := map[Owner]bool{}
	var out []Owner
	for _, o := range taken {
		if !seen[o] {
			seen[o] = true
			out = append(out, o)
		}
	}
	return out, nil
}

// Sweep removes what crashes left of unfinished allocations.
func (p *Pool) Sweep() error {
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	left, err := filepath.Glob(filepath.Join(p.dir, ".new-*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path)) // none is in the making: the lock is ours
	}
	return err
}

// Owned returns the owner's addresses in the order of the ranges.
func (p *Pool) Owned(owner Owner) ([]netip.Addr, error) {
	taken, err := p.read()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, r := range p.ranges {
		if a, ok := ownedIn(taken, r, owner); ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// Full returns a *FullError when some range has no address left.
func (p *Pool) Full() error {
	taken, err := p.read()
	if err != nil {
		return err
	}
	for _, r := range p.ranges {
		if _, err := next(r, netip.Addr{}, taken); err != nil {
			return err
		}
	}
	return nil
}

// next chooses the first free address after last, going round at the range's end. The first address of a range is the network
// itself and, in IPv4, the last is its broadcast address: both are never given out. A range of one address is that address.
func next(r netip.Prefix, last netip.Addr, taken map[netip.Addr]Owner) (netip.Addr, error) {
	if r.IsSingleIP() {
		if _, used := taken[r.Addr()]; used {
			return netip.Addr{}, &FullError{r}
		}
		return r.Addr(), nil
	}
	first := r.Addr().Next()
	if !last.IsValid() || !r.Contains(last) {
		last = r.Addr()
	}
	for a, wrapped := last.Next(), false; ; a = a.Next() {
		if !a.IsValid() || !r.Contains(a) || isBroadcast(r, a) {
			if wrapped {
				return netip.Addr{}, &FullError{r}
			}
			a, wrapped = first, true
			if isBroadcast(r, a) {
				return netip.Addr{}, &FullError{r}
			}
		}
		if _, used := taken[a]; !used {
			return a, nil
		}
		if wrapped && a == last {
			return netip.Addr{}, &FullError{r}
		}
	}
}

func isBroadcast(r netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || r.Bits() >= 31 {
		return false
	}
	b := a.As4()
	host := uint32(1)<<(32-r.Bits()) - 1
	return binary.BigEndian.Uint32(b[:])&host == host
}

func ownedIn(taken map[netip.Addr]Owner, r netip.Prefix, owner Owner) (netip.Addr, bool) {
	for a, o := range taken {
		if o == owner && r.Contains(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// take chooses an address and makes its file. The caller holds the lock.
func (p *Pool) take(r netip.Prefix, taken map[netip.Addr]Owner, owner Owner) (netip.Addr, error) {
	pointer := filepath.Join(p.dir, "last-"+strings.ReplaceAll(r.String(), "/", "_"))
	b, err := os.ReadFile(pointer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netip.Addr{}, fmt.Errorf("reading the last address: %w", err)
	}
	last, _ := netip.ParseAddr(string(bytes.TrimSpace(b))) // a broken pointer only means starting over
	a, err := next(r, last, taken)
	if err != nil {
		return netip.Addr{}, err
	}
	if err := p.place(a.String(), owner.encode()); err != nil {
		return netip.Addr{}, fmt.Errorf("taking %s: %w", a, err)
	}
	taken[a] = owner
	// Without the pointer a freed address would come back at once, while others still speak to its old holder.
	if err := os.WriteFile(pointer, []byte(a.String()), 0o600); err != nil {
		return netip.Addr{}, fmt.Errorf("writing the last address: %w", err)
	}
	return a, nil
}

// place makes a file appear with its whole content.
func (p *Pool) place(name string, content []byte) error {
	tmp, err := os.CreateTemp(p.dir, ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	path := filepath.Join(p.dir, name)
	if err = os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		// read() left the address out, so the file is without an owner.
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// read returns the taken addresses. Files without an owner are left out.
func (p *Pool) read() (map[netip.Addr]Owner, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the address folder: %w", err)
	}
	taken := make(map[netip.Addr]Owner, len(entries))
	for _, e := range entries {
		a, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue // the lock, pointers, and what a crash left of place
		}
		b, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the owner of %s: %w", a, err)
		}
		if o, ok := parseOwner(b); ok {
			taken[a] = o
		}
	}
	return taken, nil
}

// release removes the files of matching owners. The caller holds the lock.
func (p *Pool) release(match func(Owner) bool) error {
	taken, err := p.read()
	if err != nil {
		return err
	}
	for a, o := range taken {
		if !match(o) {
			continue
		}
		if err := os.Remove(filepath.Join(p.dir, a.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("freeing %s: %w", a, err)
		}
	}
	return nil
}

func (p *Pool) lock() (unlock func(), err error) {
	if unlock, err = Lock(filepath.Join(p.dir, "lock")); err != nil {
		return nil, fmt.Errorf("locking the addresses: %w", err)
	}
	return unlock, nil
}

// Lock waits until this process is the only one that holds the file's lock; the file is made when missing. Who holds it and dies
// lets go of it.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "flock", Path: path, Err: err}, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
