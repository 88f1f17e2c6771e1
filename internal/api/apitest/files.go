package apitest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
)

// Section names that are no cases.
const (
	baseSection = "base"
	wantSection = "want"
)

// file is a scenario file while its cases run.
type file struct {
	path    string
	archive *txtar.Archive
	changed bool
}

// Validate runs the scenario files in the calling package's testdata/validate against entries, those of its group. With the
// test's flag -rewrite, a bool that the test defines, the files are brought up to date instead.
func Validate(t *testing.T, entries []*api.Resource) {
	t.Helper()
	rewrite := flag.Lookup("rewrite") != nil && flag.Lookup("rewrite").Value.String() == "true"
	paths, err := filepath.Glob("testdata/validate/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := &file{path: path, archive: a}
			f.run(t, entries, rewrite)
			if f.changed {
				if err := os.WriteFile(path, txtar.Format(f.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func (f *file) run(t *testing.T, entries []*api.Resource, rewrite bool) {
	t.Helper()
	cases, err := Cases(f.archive)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	next := 0
	for i, section := range f.archive.Files {
		if section.Name == wantSection {
			continue
		}
		out = append(out, section)
		if section.Name == baseSection {
			continue
		}
		c := cases[next]
		next++
		var want string
		if i+1 < len(f.archive.Files) && f.archive.Files[i+1].Name == wantSection {
			want = string(f.archive.Files[i+1].Data)
		}
		t.Run(c.Does+" "+c.Name, func(t *testing.T) {
			r, err := c.Resource(entries)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Run(r)
			if err != nil {
				t.Fatal(err)
			}
			if got != want && !rewrite {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			f.changed = f.changed || got != want && rewrite
			want = got
		})
		out = append(out, txtar.File{Name: wantSection, Data: []byte(want)})
	}
	f.archive.Files = out
}

// Cases reads the cases of an archive.
func Cases(a *txtar.Archive) ([]Case, error) {
	var out []Case
	var base map[string]any
	for _, section := range a.Files {
		switch section.Name {
		case wantSection:
		case baseSection:
			base = nil
			if err := yaml.UnmarshalStrict(section.Data, &base); err != nil {
				return nil, fmt.Errorf("base: %w", err)
			}
		default:
			c, err := newCase(section.Name, base, section.Data)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// Resource finds the entry for the case's manifest.
func (c *Case) Resource(entries []*api.Resource) (*api.Resource, error) {
	version, _ := c.Base["apiVersion"].(string)
	kind, _ := c.Base["kind"].(string)
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, err
	}
	for _, r := range entries {
		if r.Group == gv.Group && r.Kind == kind && r.StoredVersion == gv.Version {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no entry for %s %s", version, kind)
}
