package job

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParseIntervals(t *testing.T) {
	for _, tc := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"0", 10, "0"},
		{"0,1", 10, "0,1"},
		{"0-2", 10, "0-2"},
		{"0,1,2,5-7,8", 10, "0-2,5-8"},
		{"3-20", 10, "3-9"},
		{"12", 10, ""},
		{"x,1,4-2,-3,5-y", 10, "1"},
	} {
		if got := parseIntervals(tc.text, tc.limit).String(); got != tc.want {
			t.Errorf("%q below %d: %q, want %q", tc.text, tc.limit, got, tc.want)
		}
	}
}

func FuzzParseIntervals(f *testing.F) {
	f.Add("0,2-5")
	f.Add("9-,-1,1-2-3")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseIntervals(text, 100)
		if again := parseIntervals(s.String(), 100); again.String() != s.String() {
			t.Errorf("%q reads as %q and that as %q", text, s, again)
		}
	})
}

// TestIntervals compares the set with a plain map.
func TestIntervals(t *testing.T) {
	const limit = 40
	draw := rapid.Custom(func(t *rapid.T) []int { return rapid.SliceOfN(rapid.IntRange(0, limit-1), 0, 20).Draw(t, "indexes") })
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		make := func(list []int) (s intervals) {
			for _, i := range list {
				s = s.union(intervals{{i, i}})
			}
			return s
		}
		sa, sb := make(a), make(b)
		union := sa.union(sb)
		both, total := 0, 0
		for i := range limit {
			inA, inB := slices.Contains(a, i), slices.Contains(b, i)
			if union.has(i) != (inA || inB) {
				t.Fatalf("union has %d: %v", i, union.has(i))
			}
			if inA && inB {
				both++
			}
			if inA || inB {
				total++
			}
		}
		if union.total() != total || sa.overlap(sb) != both {
			t.Fatalf("total %d want %d, overlap %d want %d", union.total(), total, sa.overlap(sb), both)
		}
		if free := union.gaps(limit, limit); len(free) != limit-total {
			t.Fatalf("%d gaps, want %d", len(free), limit-total)
		}
		if parsed := parseIntervals(union.String(), limit); parsed.String() != union.String() {
			t.Fatalf("%s reads back as %s", union, parsed)
		}
	})
}
