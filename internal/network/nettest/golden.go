package nettest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

// Golden runs f on every testdata/*.txt of the calling package. Such a file is a txtar archive: a description, input files, and
// the output file "want", which f's result must equal. With -rewrite the files are brought up to date instead.
func Golden(t *testing.T, f func(t *testing.T, input func(name string) []byte) string) {
	t.Helper()
	rewrite := flag.Lookup("rewrite") != nil && flag.Lookup("rewrite").Value.String() == "true"
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string][]byte{}, -1
			for i, file := range a.Files {
				files[file.Name] = file.Data
				if file.Name == "want" {
					want = i
				}
			}
			got := f(t, func(name string) []byte { return files[name] })
			switch {
			case rewrite && want < 0:
				a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(got)})
			case rewrite:
				a.Files[want].Data = []byte(got)
			case want < 0:
				t.Fatal("the file has no section want")
			case string(a.Files[want].Data) != got:
				t.Errorf("got:\n%s\nwant:\n%s", got, a.Files[want].Data)
			}
			if rewrite {
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Decode reads YAML strictly into v.
func Decode(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(data, v); err != nil {
		t.Fatal(err)
	}
}

// Documents splits a YAML stream at its "---" lines and decodes each document strictly.
func Documents[T any](t testing.TB, data []byte) []*T {
	t.Helper()
	var out []*T
	for _, doc := range strings.Split(string(data), "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		v := new(T)
		Decode(t, []byte(doc), v)
		out = append(out, v)
	}
	return out
}
