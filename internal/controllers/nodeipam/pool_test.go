package nodeipam

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestParts(t *testing.T) {
	for _, tc := range []struct {
		prefix string
		bits   int
		i      int
		want   string
	}{
		{"10.42.0.0/16", 24, 0, "10.42.0.0/24"},
		{"10.42.0.0/16", 24, 255, "10.42.255.0/24"},
		{"10.0.0.0/12", 20, 3, "10.0.48.0/20"},
		{"fd00:42::/48", 64, 1, "fd00:42:0:1::/64"},
		{"fd00:42::/56", 72, 257, "fd00:42:0:1:100::/72"},
	} {
		pl := newPool(Range{Prefix: netip.MustParsePrefix(tc.prefix), NodeBits: tc.bits})
		if got := pl.part(tc.i).String(); got != tc.want {
			t.Errorf("part %d of %s: %s, want %s", tc.i, tc.prefix, got, tc.want)
		}
		if got := pl.index(pl.part(tc.i).Addr()); got != tc.i {
			t.Errorf("index of part %d of %s: %d", tc.i, tc.prefix, got)
		}
	}
}

// TestPool: whatever is taken, what is given out overlaps neither it nor itself.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Range{Prefix: netip.MustParsePrefix("10.42.0.0/20"), NodeBits: 24}
		pl := newPool(r)
		var taken []netip.Prefix
		for range rapid.IntRange(0, 5).Draw(t, "taken") {
			a := netip.AddrFrom4([4]byte{10, 42, byte(rapid.IntRange(0, 20).Draw(t, "third")), byte(rapid.IntRange(0, 255).Draw(t, "fourth"))})
			p := netip.PrefixFrom(a, rapid.IntRange(19, 32).Draw(t, "bits")).Masked()
			pl.take(p.String())
			taken = append(taken, p)
		}
		for {
			got, ok := pl.next()
			if !ok {
				break
			}
			if !r.Prefix.Overlaps(got) {
				t.Fatalf("%s is outside", got)
			}
			for _, p := range taken {
				if p.Overlaps(got) {
					t.Fatalf("%s overlaps %s", got, p)
				}
			}
			taken = append(taken, got)
		}
	})
}
