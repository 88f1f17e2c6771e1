package scheduler_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
)

var rewrite = flag.Bool("rewrite", false, "write the results into the scenario files")

// TestScenarios reads testdata/*.txt: nodes and pods as YAML, and who goes where. Pods with a nodeName are there already, the
// others come in order and each takes the room it was given. Of equals the last is picked.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cluster := core.NewCluster()
	for _, n := range docs[corev1.Node](t, section(ar, "nodes")) {
		cluster.SetNode(n)
	}
	profile := core.NewProfile(plugins.Default()...)
	var out strings.Builder
	for i, pod := range docs[corev1.Pod](t, section(ar, "pods")) {
		pod.UID = types.UID(fmt.Sprint("uid-", i))
		p := core.NewPod(pod)
		if pod.Spec.NodeName != "" {
			cluster.SetPod(p)
			continue
		}
		d := profile.Schedule(p, cluster.Nodes(), core.Options{Pick: func(n int) int { return n - 1 }})
		if d.Node == "" {
			fmt.Fprintf(&out, "%s: %s\n", pod.Name, d.Diagnosis.Message())
			fmt.Fprintf(&out, "    rejected by %s\n", strings.Join(names(d.Diagnosis.Plugins), ", "))
			continue
		}
		fmt.Fprintf(&out, "%s -> %s\n", pod.Name, d.Node)
		cluster.Assume(p, d.Node)
	}
	if *rewrite {
		for i := range ar.Files {
			if ar.Files[i].Name == "want" {
				ar.Files[i].Data = []byte(out.String())
			}
		}
		if err := os.WriteFile(file, txtar.Format(ar), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := section(ar, "want"); want != out.String() {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

func names(set map[string]bool) []string {
	var list []string
	for k := range set {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}

func section(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func docs[T any](t *testing.T, text string) []*T {
	t.Helper()
	var list []*T
	for _, doc := range strings.Split(text, "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		obj := new(T)
		if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		list = append(list, obj)
	}
	return list
}
