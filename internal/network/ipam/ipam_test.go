package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func newPool(t *testing.T, dir string, ranges ...string) *Pool {
	t.Helper()
	var ps []netip.Prefix
	for _, r := range ranges {
		ps = append(ps, netip.MustParsePrefix(r))
	}
	p, err := New(dir, ps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func owner(n int) Owner { return Owner{ContainerID: fmt.Sprintf("c%d", n), Interface: "eth0"} }

func allocate(t *testing.T, p *Pool, o Owner) string {
	t.Helper()
	got, err := p.Allocate(o)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(got)
}

func TestAllocate(t *testing.T) {
	for _, c := range []struct {
		name   string
		ranges []string
		want   []string
		full   bool // the next one fails
	}{
		{"skips network and broadcast", []string{"10.0.0.0/30"}, []string{"[10.0.0.1]", "[10.0.0.2]"}, true},
		{"dual stack", []string{"10.0.0.0/24", "fd00::/64"}, []string{"[10.0.0.1 fd00::1]", "[10.0.0.2 fd00::2]"}, false},
		{"single address", []string{"10.0.0.7/32"}, []string{"[10.0.0.7]"}, true},
		{"unmasked range", []string{"10.0.0.9/29"}, []string{"[10.0.0.9]", "[10.0.0.10]"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, t.TempDir(), c.ranges...)
			for i, want := range c.want {
				if got := allocate(t, p, owner(i)); got != want {
					t.Errorf("allocation %d: got %s, want %s", i, got, want)
				}
			}
			_, err := p.Allocate(owner(99))
			var full *FullError
			if errors.As(err, &full) != c.full {
				t.Errorf("one more: got error %v, want full=%v", err, c.full)
			}
		})
	}
}

func TestFreedAddressIsNotReusedAtOnce(t *testing.T) {
	p := newPool(t, t.TempDir(), "10.0.0.0/29")
	allocate(t, p, owner(1))
	if err := p.Release(owner(1)); err != nil {
		t.Fatal(err)
	}
	if got := allocate(t, p, owner(2)); got != "[10.0.0.2]" {
		t.Errorf("got %s, want the next address", got)
	}
	for i := 3; i < 7; i++ {
		allocate(t, p, owner(i))
	}
	if got := allocate(t, p, owner(7)); got != "[10.0.0.1]" {
		t.Errorf("got %s, want the freed address after a round", got)
	}
}

func TestSameOwnerKeepsItsAddress(t *testing.T) {
	dir := t.TempDir()
	first := allocate(t, newPool(t, dir, "10.0.0.0/24"), owner(1))
	if again := allocate(t, newPool(t, dir, "10.0.0.0/24"), owner(1)); again != first {
		t.Errorf("got %s, then %s", first, again)
	}
}

func TestFailureOfOneRangeFreesTheOther(t *testing.T) {
	p := newPool(t, t.TempDir(), "10.0.0.0/24", "fd00::1/128")
	allocate(t, p, owner(1))
	if _, err := p.Allocate(owner(2)); err == nil {
		t.Fatal("got no error from a full range")
	}
	if got, _ := p.Owned(owner(2)); len(got) != 0 {
		t.Errorf("owner still has %v", got)
	}
}

func TestWhatCrashesLeave(t *testing.T) {
	dir := t.TempDir()
	p := newPool(t, dir, "10.0.0.0/24")
	for name, content := range map[string]string{
		"10.0.0.1": "", "10.0.0.2": "half", ".new-123": "c9\neth0\n", "last-10.0.0.0_24": "?",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := allocate(t, p, owner(1)); got != "[10.0.0.1]" {
		t.Errorf("got %s, want the address whose file has no owner", got)
	}
	if err := p.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestConcurrentPoolsNeverShareAnAddress(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	seen := map[netip.Addr]int{}
	var wg sync.WaitGroup
	for i := range 20 {
		p := newPool(t, dir, "10.0.0.0/24")
		wg.Go(func() {
			got, err := p.Allocate(owner(i))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, dup := seen[got[0]]; dup {
				t.Errorf("%v was given to %d and %d", got, other, i)
			}
			seen[got[0]] = i
		})
	}
	wg.Wait()
}

// TestAgainstModel runs random operations on a small range and on a map.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		p := newPool(t, dir, "10.0.0.0/28")
		model := map[Owner]netip.Addr{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			o := owner(rapid.IntRange(0, 19).Draw(rt, "owner"))
			if rapid.Bool().Draw(rt, "release") {
				if err := p.Release(o); err != nil {
					rt.Fatal(err)
				}
				delete(model, o)
				continue
			}
			got, err := p.Allocate(o)
			had, kept := model[o]
			switch {
			case err != nil && (kept || len(model) < 14):
				rt.Fatalf("refused with %d of 14 addresses taken: %v", len(model), err)
			case err == nil && kept && got[0] != had:
				rt.Fatalf("%v moved from %v to %v", o, had, got)
			case err == nil:
				model[o] = got[0]
			}
		}
		used := map[netip.Addr]bool{}
		for o, a := range model {
			if got, err := p.Owned(o); err != nil || len(got) != 1 || got[0] != a || used[a] {
				rt.Fatalf("%v: got %v %v, want %v alone", o, got, err, a)
			}
			used[a] = true
		}
	})
}
