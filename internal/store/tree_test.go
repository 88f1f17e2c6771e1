package store

import (
	"fmt"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

type testRow struct{ group, key string }

func (r testRow) order() (string, string) { return r.group, r.key }

// check tells what is wrong with a node: order apart, which reading shows.
func (n *node[T]) check(root bool) (depth int, err error) {
	size := len(n.rows)
	if len(n.rows) > maxRows || !root && len(n.rows) < minRows || len(n.rows) == 0 {
		return 0, fmt.Errorf("%d rows", len(n.rows))
	}
	if len(n.kids) != 0 && len(n.kids) != len(n.rows)+1 {
		return 0, fmt.Errorf("%d rows, %d kids", len(n.rows), len(n.kids))
	}
	for i, kid := range n.kids {
		d, err := kid.check(false)
		if err != nil {
			return 0, err
		}
		if i > 0 && d != depth {
			return 0, fmt.Errorf("depths %d and %d", depth, d)
		}
		depth = d
		size += kid.size
	}
	if size != n.size {
		return 0, fmt.Errorf("size %d of %d rows", n.size, size)
	}
	return depth + 1, nil
}

func rowsOf(v view[testRow]) []testRow {
	rows := []testRow{}
	v.ascend("", "", func(r testRow) bool {
		rows = append(rows, r)
		return true
	})
	return rows
}

// TestTree compares a tree, and all views taken of it, with sorted slices.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 2000).Draw(t, "keys")
		rowOf := func(i int) testRow { return testRow{fmt.Sprint("g", i%3), fmt.Sprintf("%05d", i/3)} }
		model := map[testRow]bool{}
		tree := view[testRow]{}.edit()
		var views []view[testRow]
		var states [][]testRow
		sorted := func() []testRow {
			rows := []testRow{}
			for r := range model {
				rows = append(rows, r)
			}
			sort.Slice(rows, func(i, j int) bool {
				return rows[i].group < rows[j].group || rows[i].group == rows[j].group && rows[i].key < rows[j].key
			})
			return rows
		}
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			// Runs of neighbours, put in or taken out, make nodes fill and drain.
			for range rapid.IntRange(1, 10).Draw(t, "runs") {
				in := rapid.Bool().Draw(t, "in")
				begin, n := rapid.IntRange(0, size).Draw(t, "begin"), rapid.IntRange(0, 300).Draw(t, "n")
				step := rapid.IntRange(1, 7).Draw(t, "step")
				for i := range n {
					r := rowOf((begin + i*step) % size)
					if in {
						tree.set(r)
						model[r] = true
					} else if tree.remove(r.group, r.key) != model[r] {
						t.Fatalf("removing %v: want %v", r, model[r])
					} else {
						delete(model, r)
					}
				}
			}
			if tree.root != nil {
				if _, err := tree.root.check(true); err != nil {
					t.Fatal(err)
				}
			}
			views, states = append(views, tree.freeze()), append(states, sorted())
			// Another writer on the same view disturbs nobody.
			other := views[len(views)-1].edit()
			other.set(testRow{"g0", "other"})
			other.remove("g1", "00000")
		}
		for i, v := range views {
			if got := rowsOf(v); !slices.Equal(got, states[i]) || v.len() != len(got) {
				t.Fatalf("view %d: %d rows, len %d, want %d", i, len(got), v.len(), len(states[i]))
			}
			probe := rowOf(rapid.IntRange(0, size).Draw(t, "probe"))
			at := sort.Search(len(states[i]), func(j int) bool {
				r := states[i][j]
				return r.group > probe.group || r.group == probe.group && r.key >= probe.key
			})
			if got := v.rank(probe.group, probe.key); got != at {
				t.Fatalf("rank of %v: got %d, want %d", probe, got, at)
			}
			if _, found := v.get(probe.group, probe.key); found != slices.Contains(states[i], probe) {
				t.Fatalf("get %v: %v", probe, found)
			}
			var first *testRow
			v.ascend(probe.group, probe.key, func(r testRow) bool { first = &r; return false })
			if (first != nil) != (at < len(states[i])) || first != nil && *first != states[i][at] {
				t.Fatalf("first from %v: %v", probe, first)
			}
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"/a/": "/a0", "a\xff": "b", "\xff\xff": "", "": ""} {
		if got, bounded := prefixEnd(prefix); got != want || bounded != (want != "") {
			t.Errorf("%q: got %q %v, want %q", prefix, got, bounded, want)
		}
	}
}
