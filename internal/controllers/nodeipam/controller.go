package nodeipam

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Range is one family's addresses and the size of a node's part of them.
type Range struct {
	Prefix   netip.Prefix
	NodeBits int // prefix length of a node's part, such as 24
}

// Controller gives out the ranges.
type Controller struct{ ranges []Range }

// New returns a controller for one range, or two of different families. It fails when a node's part does not fit.
func New(ranges ...Range) (*Controller, error) {
	if len(ranges) == 0 || len(ranges) > 2 {
		return nil, fmt.Errorf("%d pod ranges: one or two are possible", len(ranges))
	}
	for _, r := range ranges {
		size := r.NodeBits - r.Prefix.Bits()
		if !r.Prefix.IsValid() || size < 0 || size > 16 || r.NodeBits > r.Prefix.Addr().BitLen() {
			return nil, fmt.Errorf("cutting /%d out of pod range %s: 1 to 65536 parts are possible", r.NodeBits, r.Prefix)
		}
	}
	if len(ranges) == 2 && ranges[0].Prefix.Addr().Is4() == ranges[1].Prefix.Addr().Is4() {
		return nil, fmt.Errorf("pod ranges %s and %s are of one family", ranges[0].Prefix, ranges[1].Prefix)
	}
	return &Controller{ranges: ranges}, nil
}

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "node-ipam-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{{
		Resource: kinds.Nodes(),
		Keys:     func(reconcile.View, api.Object) []reconcile.Key { return []reconcile.Key{{Name: "all"}} },
		Relevant: func(old, obj api.Object) bool {
			a, ok1 := old.(*corev1.Node)
			b, ok2 := obj.(*corev1.Node)
			return !ok1 || !ok2 || !slices.Equal(a.Spec.PodCIDRs, b.Spec.PodCIDRs)
		},
	}}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{{Resource: kinds.Nodes(), Verbs: []client.Verb{client.Patch}}}
}

// Reconcile implements reconcile.Controller.
func (c *Controller) Reconcile(v reconcile.View, _ reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	var without []*corev1.Node
	pools := make([]*pool, len(c.ranges))
	for i, r := range c.ranges {
		pools[i] = newPool(r)
	}
	for node := range reconcile.All[*corev1.Node](v, kinds.Nodes(), "") {
		cidrs := podCIDRs(node)
		if len(cidrs) == 0 {
			if node.DeletionTimestamp == nil {
				without = append(without, node)
			}
			continue
		}
		for _, cidr := range cidrs {
			for _, pl := range pools {
				pl.take(cidr)
			}
		}
	}
	slices.SortStableFunc(without, func(a, b *corev1.Node) int {
		return cmp.Compare(a.CreationTimestamp.UnixNano(), b.CreationTimestamp.UnixNano())
	})
	var writes []reconcile.Write
	for _, node := range without {
		cidrs, ok := next(pools)
		if !ok {
			p.Events = append(p.Events, reconcile.Event{
				Regarding: reconcile.Ref(corev1.SchemeGroupVersion.WithKind("Node"), node), Type: corev1.EventTypeNormal,
				Reason: "CIDRNotAvailable", Message: fmt.Sprintf("Node %s status is now: CIDRNotAvailable", node.Name),
			})
			continue
		}
		writes = append(writes, reconcile.Patching(kinds.Nodes(), node, types.StrategicMergePatchType, map[string]any{
			"spec": map[string]any{"podCIDR": cidrs[0], "podCIDRs": cidrs},
		}))
	}
	p.Add(writes...)
	return p, nil
}

func podCIDRs(node *corev1.Node) []string {
	if len(node.Spec.PodCIDRs) == 0 && node.Spec.PodCIDR != "" {
		return []string{node.Spec.PodCIDR}
	}
	return node.Spec.PodCIDRs
}

// next takes one part from each pool.
func next(pools []*pool) ([]string, bool) {
	var cidrs []string
	for _, pl := range pools {
		cidr, ok := pl.next()
		if !ok {
			return nil, false
		}
		cidrs = append(cidrs, cidr.String())
	}
	return cidrs, true
}

// pool is one range cut into parts.
type pool struct {
	r    Range
	used []bool
	from int // where to look next: behind the highest used part, so that a freed one rests as long as possible
}

func newPool(r Range) *pool {
	return &pool{r: r, used: make([]bool, 1<<(r.NodeBits-r.Prefix.Bits()))}
}

// take marks the parts that overlap the range, whoever gave it out.
func (pl *pool) take(cidr string) {
	taken, err := netip.ParsePrefix(cidr)
	if err != nil || !taken.Overlaps(pl.r.Prefix) {
		return
	}
	first := 0
	if taken.Bits() > pl.r.Prefix.Bits() {
		first = pl.index(taken.Masked().Addr())
	}
	for i := first; i < len(pl.used) && taken.Overlaps(pl.part(i)); i++ {
		pl.used[i] = true
		pl.from = max(pl.from, i+1)
	}
}

// index returns the number of the part that holds the address, which must be in the range.
func (pl *pool) index(a netip.Addr) int {
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	shift := pl.shift()
	switch {
	case shift >= 64:
		lo = hi >> (shift - 64)
	case shift > 0:
		lo = lo>>shift | hi<<(64-shift)
	}
	return int(lo & uint64(len(pl.used)-1)) // the number of parts is a power of two
}

// shift is how many host bits a part has.
func (pl *pool) shift() int { return pl.r.Prefix.Addr().BitLen() - pl.r.NodeBits }

func (pl *pool) next() (netip.Prefix, bool) {
	for n := range pl.used {
		i := (pl.from + n) % len(pl.used)
		if !pl.used[i] {
			pl.used[i] = true
			pl.from = i + 1
			return pl.part(i), true
		}
	}
	return netip.Prefix{}, false
}

// part returns the range's ith part.
func (pl *pool) part(i int) netip.Prefix {
	addr := pl.r.Prefix.Masked().Addr().As16()
	// The part's number sits in front of the host bits and may lie across the two halves of an IPv6 address.
	shift := pl.shift()
	var number [16]byte
	hi, lo := uint64(0), uint64(i)
	if shift >= 64 {
		hi, lo = lo<<(shift-64), 0
	} else if shift > 0 {
		hi, lo = lo>>(64-shift), lo<<shift
	}
	binary.BigEndian.PutUint64(number[:8], hi)
	binary.BigEndian.PutUint64(number[8:], lo)
	for b := range addr {
		addr[b] |= number[b]
	}
	a := netip.AddrFrom16(addr)
	if pl.r.Prefix.Addr().Is4() {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, pl.r.NodeBits)
}
