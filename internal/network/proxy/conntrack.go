package proxy

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// conntrack deletes tracked connections in the network namespace of the thread that opened it.
type conntrack struct {
	h *netlink.Handle
}

func openConntrack() (*conntrack, error) {
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening connection tracking: %w", err)
	}
	return &conntrack{h}, nil
}

func (c *conntrack) close() { c.h.Close() }

// staleUDP adapts a predicate to the library's filter.
type staleUDP func(Flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleUDP) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	to, ok1 := netip.AddrFromSlice(f.Forward.DstIP)
	answer, ok2 := netip.AddrFromSlice(f.Reverse.SrcIP)
	return ok1 && ok2 && s(Flow{
		To: Backend{to.Unmap(), f.Forward.DstPort}, Answer: Backend{answer.Unmap(), f.Reverse.SrcPort},
	})
}

// cleanup deletes the UDP connections that are stale. The kernel would keep sending a busy client's packets to where its first
// packet went.
func (c *conntrack) cleanup(stale func(Flow) bool) error {
	var errs []error
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if _, err := c.h.ConntrackDeleteFilters(netlink.ConntrackTable, family, staleUDP(stale)); err != nil {
			errs = append(errs, fmt.Errorf("deleting tracked connections: %w", err))
		}
	}
	return errors.Join(errs...)
}

func isNotFound(err error) bool { return errors.Is(err, unix.ENOENT) }
