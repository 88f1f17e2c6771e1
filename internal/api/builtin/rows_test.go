package builtin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
)

// TestRows reads testdata/rows: objects in YAML, each under a line "## NAME" and followed by a line "-> CELLS", as kubectl get -o
// wide prints them at noon on 1 July 2026.
func TestRows(t *testing.T) {
	c := newCatalogue(t)
	set := builtin.Codecs(c)
	files, err := filepath.Glob("testdata/rows/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range strings.Split(string(data), "\n## ")[1:] {
			name, rest, _ := strings.Cut(one, "\n")
			t.Run(name, func(t *testing.T) {
				manifest, want, ok := strings.Cut(rest, "\n-> ")
				if !ok {
					t.Fatal("no expected row")
				}
				want, _, _ = strings.Cut(want, "\n")
				if got := row(t, c, set, manifest); got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
			})
		}
	}
}

func row(t *testing.T, c *api.Catalogue, set *codec.Set, manifest string) string {
	t.Helper()
	decoded, gvk, err := set.StrictYAML.Decode([]byte(manifest), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := c.ForKind(gvk.GroupKind())
	if !ok {
		t.Fatalf("no resource for %s", gvk)
	}
	obj, ok := decoded.(api.Object)
	if v, _ := r.Version(gvk.Version); v.ToStored != nil {
		obj, err = v.ToStored(decoded)
		ok = err == nil
	}
	if !ok {
		t.Fatalf("%T is no object: %v", decoded, err)
	}
	var cells []string
	for _, cell := range r.Table.Row(obj, time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)) {
		cells = append(cells, fmt.Sprint(cell))
	}
	return strings.Join(cells, " | ")
}
