package builtin_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew instead of comparing with them")

// TestDefaults reads the manifests in testdata/defaults, each a manifest as a user writes it, a line of equals signs, and the
// same object with all defaults.
func TestDefaults(t *testing.T) {
	c := newCatalogue(t)
	set := builtin.Codecs(c)
	files, err := filepath.Glob("testdata/defaults/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(data), separator)
			got := defaulted(t, c, set, in)
			if *rewrite {
				if err := os.WriteFile(file, []byte(in+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("with defaults:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

const separator = "=====\n"

func defaulted(t *testing.T, c *api.Catalogue, set *codec.Set, manifest string) string {
	t.Helper()
	decoded, gvk, err := set.StrictYAML.Decode([]byte(manifest), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := c.ForKind(gvk.GroupKind())
	if !ok {
		t.Fatalf("no resource for %s", gvk)
	}
	v, _ := r.Version(gvk.Version)
	obj, _ := decoded.(api.Object)
	if v.ToStored != nil {
		if obj, err = v.ToStored(decoded); err != nil {
			t.Fatal(err)
		}
	}
	if r.Strategy.Default != nil {
		r.Strategy.Default(obj)
	}
	out, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
