package batch

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseIndexes(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		want  []interval
		error string
	}{
		"nothing":       {"", nil, ""},
		"one":           {"3", []interval{{3, 3}}, ""},
		"ranges":        {"0,2-4,9", []interval{{0, 0}, {2, 4}, {9, 9}}, ""},
		"not ascending": {"3,2", nil, "non-increasing order, previous: 3, current: 2"},
		"twice":         {"3,3", nil, "non-increasing order, previous: 3, current: 3"},
		"backwards":     {"4-2", nil, "non-increasing order, previous: 4, current: 2"},
		"of one":        {"4-4", nil, "non-increasing order, previous: 4, current: 4"},
		"too large":     {"10", nil, `too large index: "10"`},
		"a word":        {"x", nil, `cannot convert string to integer for index: "x"`},
		"a gap":         {"1,,2", nil, `cannot convert string to integer for index: ""`},
		"open":          {"1-", nil, `cannot convert string to integer for index: ""`},
		"negative":      {"-1", nil, `cannot convert string to integer for index: ""`},
		"three parts":   {"1-2-3", nil, "can have at most two parts"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseIndexes(c.text, 10)
			if c.error == "" && (err != nil || !slices.Equal(got, c.want)) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
			if c.error != "" && (err == nil || !strings.Contains(err.Error(), c.error)) {
				t.Errorf("error %v, want %s", err, c.error)
			}
		})
	}
}

func TestFirstCommon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawIndexes(t, "a"), drawIndexes(t, "b")
		got, ok := firstCommon(intervals(a), intervals(b))
		want := slices.IndexFunc(a, func(n int32) bool { return slices.Contains(b, n) })
		if ok != (want >= 0) || ok && got != a[want] {
			t.Fatalf("%v and %v: got %d, %v", a, b, got, ok)
		}
		if n := count(intervals(a)); int(n) != len(a) {
			t.Fatalf("%v: counted %d", a, n)
		}
	})
}

func drawIndexes(t *rapid.T, label string) []int32 {
	list := rapid.SliceOfDistinct(rapid.Int32Range(0, 12), rapid.ID[int32]).Draw(t, label)
	slices.Sort(list)
	return list
}

// intervals joins neighbours.
func intervals(list []int32) []interval {
	var out []interval
	for _, n := range list {
		if k := len(out); k > 0 && out[k-1].last == n-1 {
			out[k-1].last = n
			continue
		}
		out = append(out, interval{n, n})
	}
	return out
}

func FuzzParseIndexes(f *testing.F) {
	for _, seed := range []string{"", "1", "0-3,5", "5-3", "1,,2", "-", "9999999999999999999"} {
		f.Add(seed, int32(10))
	}
	f.Fuzz(func(t *testing.T, text string, completions int32) {
		list, err := parseIndexes(text, completions)
		if err != nil {
			return
		}
		last := int32(-1)
		for _, i := range list {
			if i.first <= last || i.last < i.first || i.last >= completions {
				t.Fatalf("%q of %d gave %v", text, completions, list)
			}
			last = i.last
		}
	})
}

func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{"", "* * * * *", "@daily", "@every 1h", "TZ=UTC * * * * *", "TZ=", "CRON_TZ=x", "60 * * * *"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) { _ = parseSchedule(text) })
}
