package programs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
)

func testSet(t *testing.T, content map[string]string) fstest.MapFS {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	var list []Program
	for name, text := range content {
		sum := sha256.Sum256([]byte(text))
		list = append(list, Program{Name: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
		files[name+".zst"] = &fstest.MapFile{Data: encoder.EncodeAll([]byte(text), nil)}
	}
	manifest, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	files["manifest.json"] = &fstest.MapFile{Data: manifest}
	return files
}

func TestUnpack(t *testing.T) {
	content := map[string]string{"one": "#!/bin/sh\necho one\n", "two": "second"}
	tests := []struct {
		name string
		// spoil changes what an earlier run left.
		spoil func(t *testing.T, dir, target string)
	}{
		{"nothing there", func(*testing.T, string, string) {}},
		{"left partial", func(t *testing.T, dir, _ string) {
			must(t, os.MkdirAll(filepath.Join(dir, partialPrefix+"123"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, partialPrefix+"123", "one"), []byte("#!"), 0o700))
		}},
		{"cut program", func(t *testing.T, _, target string) {
			must(t, os.MkdirAll(target, 0o700))
			must(t, os.WriteFile(filepath.Join(target, "one"), []byte("#!"), 0o755))
			must(t, os.WriteFile(filepath.Join(target, "two"), []byte("second"), 0o755))
		}},
		{"missing program", func(t *testing.T, _, target string) {
			must(t, os.MkdirAll(target, 0o700))
			must(t, os.WriteFile(filepath.Join(target, "two"), []byte("second"), 0o755))
		}},
		{"link in place of a program", func(t *testing.T, _, target string) {
			must(t, os.MkdirAll(target, 0o700))
			must(t, os.Symlink("/bin/true", filepath.Join(target, "one")))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Open(testSet(t, content))
			must(t, err)
			dir := filepath.Join(t.TempDir(), "bin")
			must(t, os.MkdirAll(dir, 0o700))
			tt.spoil(t, dir, filepath.Join(dir, set.Hash()))
			got, err := set.Unpack(t.Context(), dir)
			must(t, err)
			for name, want := range content {
				data, err := os.ReadFile(filepath.Join(got, name))
				must(t, err)
				if string(data) != want {
					t.Errorf("%s holds %q, want %q", name, data, want)
				}
			}
			entries, err := os.ReadDir(dir)
			must(t, err)
			if len(entries) != 2 { // the set and the lock
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func TestUnpackKeepsAGoodSet(t *testing.T) {
	set, err := Open(testSet(t, map[string]string{"one": "text"}))
	must(t, err)
	dir := t.TempDir()
	target, err := set.Unpack(t.Context(), dir)
	must(t, err)
	before, err := os.Stat(filepath.Join(target, "one"))
	must(t, err)
	_, err = set.Unpack(t.Context(), dir)
	must(t, err)
	after, err := os.Stat(filepath.Join(target, "one"))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("a good set was written again")
	}
}

func TestParts(t *testing.T) {
	set, err := Open(testSet(t, map[string]string{Kubectl: "k", Runc: "r", Containerd: "c"}))
	must(t, err)
	names := func(s *Set) (names []string) {
		for _, p := range s.Programs() {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := names(set.ForNodes()); !slices.Equal(got, []string{Containerd, Runc}) {
		t.Errorf("nodes run %v", got)
	}
	if got := names(set.Only(Kubectl)); !slices.Equal(got, []string{Kubectl}) {
		t.Errorf("only kubectl is %v", got)
	}
	if set.Hash() == set.ForNodes().Hash() || set.ForNodes().Hash() == set.Only(Kubectl).Hash() {
		t.Error("parts have one name")
	}
}

func TestUnpackRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(files fstest.MapFS)
	}{
		{"other content", func(f fstest.MapFS) {
			encoder, _ := zstd.NewWriter(nil)
			f["one.zst"] = &fstest.MapFile{Data: encoder.EncodeAll([]byte("tuxt"), nil)}
		}},
		{"longer content", func(f fstest.MapFS) {
			encoder, _ := zstd.NewWriter(nil)
			f["one.zst"] = &fstest.MapFile{Data: encoder.EncodeAll([]byte("text and more"), nil)}
		}},
		{"no zstd", func(f fstest.MapFS) { f["one.zst"] = &fstest.MapFile{Data: []byte("text")} }},
		{"no file", func(f fstest.MapFS) { delete(f, "one.zst") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := testSet(t, map[string]string{"one": "text"})
			tt.spoil(files)
			set, err := Open(files)
			must(t, err)
			dir := t.TempDir()
			if _, err := set.Unpack(t.Context(), dir); err == nil {
				t.Fatal("unpacked without an error")
			}
			if _, err := os.Stat(filepath.Join(dir, set.Hash())); err == nil {
				t.Error("a broken set has got its name")
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(fstest.MapFS{}); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("without a manifest: %v", err)
	}
	escape := fstest.MapFS{"manifest.json": {Data: []byte(`[{"name":"../evil","size":1,"sha256":""}]`)}}
	if _, err := Open(escape); err == nil {
		t.Error("a name with a path was accepted")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
