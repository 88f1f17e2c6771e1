package arch

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "coracle.dev/coracle/"

//go:embed policy.txt
var policyText string

type policy struct {
	allowed   map[string]map[string]bool // room to rooms; "*" allows all
	forbidden []string                   // import path prefixes
	isolated  map[string]bool            // rooms whose packages may not know each other
}

func parsePolicy(text string) (policy, error) {
	p := policy{allowed: map[string]map[string]bool{}, isolated: map[string]bool{}}
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, rest, ok := strings.Cut(line, ":")
		if !ok {
			return p, fmt.Errorf("policy.txt:%d: no colon in %q", n, line)
		}
		switch words := strings.Fields(rest); key {
		case "forbidden":
			p.forbidden = append(p.forbidden, words...)
		case "isolated":
			for _, w := range words {
				p.isolated[w] = true
			}
		default:
			p.allowed[key] = map[string]bool{}
			for _, w := range words {
				p.allowed[key][w] = true
			}
		}
	}
	return p, sc.Err()
}

// room returns the room of a package path relative to the module: "internal/api/core" is in "api".
func room(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[1]
	}
	return parts[0]
}

// judge returns what is wrong with one import, or "".
func (p policy) judge(from, to string) string {
	for _, f := range p.forbidden {
		if to == f || strings.HasPrefix(to, f+"/") {
			return "is forbidden in the product"
		}
	}
	rel, ours := strings.CutPrefix(to, module)
	if !ours {
		return ""
	}
	a, b := room(from), room(rel)
	if a == b {
		if p.isolated[a] && from != rel && strings.Count(from, "/") > 1 && isUnit(from, rel) {
			return "is a peer: units of " + a + " don't know each other"
		}
		return ""
	}
	if p.allowed[a]["*"] || p.allowed[a][b] {
		return ""
	}
	return fmt.Sprintf("breaks the policy: %s may not know %s", a, b)
}

// isUnit tells whether both paths lie in different folders below an isolated room.
func isUnit(from, to string) bool {
	f, t := strings.Split(from, "/"), strings.Split(to, "/")
	return len(f) > 2 && len(t) > 2 && f[2] != t[2]
}

func TestImports(t *testing.T) {
	p, err := parsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	var found []string
	files := 0
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || hasOwnModule(path)) {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			files++
			rel, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, imp := range f.Imports {
				to, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					return err
				}
				if wrong := p.judge(filepath.ToSlash(rel), to); wrong != "" {
					found = append(found, fmt.Sprintf("%s imports %s, which %s", path, to, wrong))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Fatal("no Go files found: is the test run from its own folder?")
	}
	sort.Strings(found)
	for _, f := range found {
		t.Error(f)
	}
}

func hasOwnModule(dir string) bool {
	m, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(m) > 0
}

func TestJudge(t *testing.T) {
	p, err := parsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, from, to string
		allowed        bool
	}{
		{"client may know api", "internal/client", module + "internal/api", true},
		{"api knows nobody", "internal/api/core", module + "internal/client", false},
		{"own room", "internal/api/core", module + "internal/api/meta", true},
		{"peers", "internal/node", module + "internal/network", false},
		{"controllers are isolated", "internal/controllers/job", module + "internal/controllers/replicaset", false},
		{"the list knows every controller", "internal/controllers", module + "internal/controllers/job", true},
		{"store is blind", "internal/store", module + "internal/api", false},
		{"cmd sees all", "cmd/coracle", module + "internal/node", true},
		{"upstream's server", "internal/apiserver", "k8s.io/apiserver/pkg/server/options", false},
		{"upstream's libraries", "internal/apiserver", "k8s.io/apiserver/pkg/cel", true},
		{"outside libraries", "internal/node", "google.golang.org/grpc", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := p.judge(tc.from, tc.to); (got == "") != tc.allowed {
				t.Errorf("%s -> %s: %q", tc.from, tc.to, got)
			}
		})
	}
}

// longestFile in lines; generated files may be longer.
const longestFile = 500

func TestFilesStayShort(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, top := range []string{"internal", "cmd", "test", "examples", "build"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.HasPrefix(string(text), "// Code generated") {
				return nil
			}
			if n := strings.Count(string(text), "\n"); n > longestFile {
				t.Errorf("%s has %d lines: a room that outgrows %d is two rooms", path, n, longestFile)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
