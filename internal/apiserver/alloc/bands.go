package alloc

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// Random returns a number below n, which is at least 1.
type Random func(n uint64) uint64

// ipRange is the addresses of a service range that can be given out.
type ipRange struct {
	prefix netip.Prefix
	first  netip.Addr
	// size is the count of addresses, at most MaxUint64.
	size uint64
	// static is how many of the first addresses are left for those who ask for a certain one, as long as others are free.
	static uint64
}

// newRange leaves out the network's own address and, for IPv4, the broadcast address.
func newRange(prefix netip.Prefix) ipRange {
	prefix = prefix.Masked()
	r := ipRange{prefix: prefix, first: prefix.Addr().Next()}
	hostBits := prefix.Addr().BitLen() - prefix.Bits()
	reserved := uint64(1)
	if prefix.Addr().Is4() {
		reserved = 2
	}
	total := uint64(math.MaxUint64)
	if hostBits < 64 {
		total = uint64(1) << hostBits
	}
	if total <= reserved {
		return r
	}
	r.size = total - reserved
	r.static = band(min(total, 1<<16), 16, 256, 16)
	return r
}

// band sizes the part of a range that is left for static use: a step-th of it, within bounds; none of a tiny range.
func band(total, least, most, step uint64) uint64 {
	if total <= least {
		return 0
	}
	return min(max(total/step, least), most)
}

func (r ipRange) contains(a netip.Addr) bool {
	return r.size > 0 && r.prefix.Contains(a) && !a.Less(r.first) && !addTo(r.first, r.size-1).Less(a)
}

// pick returns a free address: a random one above the static band and, when none is free there, one inside it.
func (r ipRange) pick(taken func(netip.Addr) bool, random Random) (netip.Addr, bool) {
	if a, ok := scan(addTo(r.first, r.static), r.size-r.static, taken, random); ok {
		return a, true
	}
	return scan(r.first, r.static, taken, random)
}

// scan looks at the n addresses beginning at first, from a random one on and round.
func scan(first netip.Addr, n uint64, taken func(netip.Addr) bool, random Random) (netip.Addr, bool) {
	if n == 0 {
		return netip.Addr{}, false
	}
	start := random(n)
	a := addTo(first, start)
	for i := start; i < n; i++ {
		if !taken(a) {
			return a, true
		}
		a = a.Next()
	}
	a = first
	for range start {
		if !taken(a) {
			return a, true
		}
		a = a.Next()
	}
	return netip.Addr{}, false
}

// addTo returns the n-th address after a.
func addTo(a netip.Addr, n uint64) netip.Addr {
	if a.Is4() {
		bytes := a.As4()
		binary.BigEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(bytes[:])+uint32(n))
		return netip.AddrFrom4(bytes)
	}
	bytes := a.As16()
	low := binary.BigEndian.Uint64(bytes[8:])
	sum := low + n
	binary.BigEndian.PutUint64(bytes[8:], sum)
	if sum < low {
		binary.BigEndian.PutUint64(bytes[:8], binary.BigEndian.Uint64(bytes[:8])+1)
	}
	return netip.AddrFrom16(bytes)
}
