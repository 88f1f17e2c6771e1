package nettest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is a network namespace.
type NS struct {
	file *os.File
}

// RequireRoot skips the test when network namespaces cannot be made.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if err := onLockedThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }); err != nil {
		t.Skipf("cannot make network namespaces here: %v", err)
	}
}

// NewNS makes a namespace that has only a loopback, which is up.
func NewNS(t testing.TB) *NS {
	t.Helper()
	ns := &NS{}
	err := onLockedThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unsharing: %w", err)
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return err
		}
		ns.file = f
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = ns.file.Close() })
	return ns
}

// FD is the namespace's descriptor.
func (n *NS) FD() int { return int(n.file.Fd()) }

// Path names the namespace for a CNI plugin run by this process or its children.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD()) }

// Do runs f on a thread of the namespace and fails the test on an error. The thread is not used for anything else afterwards.
func (n *NS) Do(t testing.TB, f func() error) {
	t.Helper()
	if err := n.Run(f); err != nil {
		t.Fatal(err)
	}
}

// Run runs f on a thread of the namespace. Sockets and netlink handles that f makes stay in the namespace; goroutines that f
// starts do not run in it.
func (n *NS) Run(f func() error) error {
	return onLockedThread(func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}

// onLockedThread runs f on a thread that dies afterwards: its namespace was changed.
func onLockedThread(f func() error) error {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)      // also when f ends the goroutine, as t.FailNow does
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		err = f()
	}()
	<-done
	return err
}

// Join connects two namespaces by a veth pair and gives each side its address (in CIDR notation).
func Join(t testing.TB, a *NS, nameA, addrA string, b *NS, nameB, addrB string) {
	t.Helper()
	a.Do(t, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerNamespace = nameB, netlink.NsFd(b.FD())
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("adding a veth pair: %w", err)
		}
		return configure(nameA, addrA)
	})
	b.Do(t, func() error { return configure(nameB, addrB) })
}

func configure(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", name, err)
	}
	if addr != "" {
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("adding %s to %s: %w", addr, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}
