package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// TestRanges takes and drops ranges at random, with restarts in between: no two pods ever share one, and a pod keeps its own.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "userns")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		const most = 4
		r, err := Open(dir, most)
		if err != nil {
			t.Fatal(err)
		}
		have := map[types.UID]uint32{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			uid := types.UID(fmt.Sprint("p", rapid.IntRange(0, 6).Draw(t, "pod")))
			switch rapid.SampledFrom([]string{"take", "drop", "restart"}).Draw(t, "step") {
			case "take":
				start, err := r.Take(uid)
				_, known := have[uid]
				if full := len(have) >= most && !known; full != (err != nil) {
					t.Fatalf("with %d ranges in use: %v", len(have), err)
				}
				if err != nil {
					continue
				}
				if known && have[uid] != start {
					t.Fatalf("%s had %d and now has %d", uid, have[uid], start)
				}
				for other, s := range have {
					if other != uid && s == start {
						t.Fatalf("%s and %s share %d", other, uid, start)
					}
				}
				have[uid] = start
			case "drop":
				if err := os.RemoveAll(filepath.Join(dir, string(uid))); err != nil {
					t.Fatal(err)
				}
				r.Drop(uid)
				delete(have, uid)
			case "restart":
				if r, err = Open(dir, most); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
