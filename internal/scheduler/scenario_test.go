package scheduler_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
)

var rewrite = flag.Bool("rewrite", false, "write the results into the scenario files")

// TestScenarios reads testdata/*.txt: nodes, pods and what is related to them as YAML, and who goes where. Pods with a nodeName
// are there already, the others come in order and each takes the room it was given. A pod for which others are evicted is tried
// again after all the rest. Of equals the last is picked.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	catalogue, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	res, ok := catalogue.Resource(schema.GroupResource{Resource: "pods"})
	if !ok {
		t.Fatal("no pods in the catalogue")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file, res) })
	}
}

// scenario is one file being run.
type scenario struct {
	cluster  *core.Cluster
	profile  *core.Profile
	services []*corev1.Service
	owners   map[string]any
	budgets  []*core.Budget
	out      strings.Builder
}

func readScenario(t *testing.T, ar *txtar.Archive) *scenario {
	s := &scenario{cluster: core.NewCluster(), profile: core.NewProfile(plugins.Default()...), owners: map[string]any{}}
	for _, n := range docs[corev1.Node](t, section(ar, "nodes")) {
		s.cluster.SetNode(n)
	}
	for _, ns := range docs[corev1.Namespace](t, section(ar, "namespaces")) {
		s.cluster.SetNamespace(ns.Name, ns.Labels)
	}
	s.services = docs[corev1.Service](t, section(ar, "services"))
	for _, rs := range docs[appsv1.ReplicaSet](t, section(ar, "replicasets")) {
		s.owners[rs.Name] = rs
	}
	for _, set := range docs[appsv1.StatefulSet](t, section(ar, "statefulsets")) {
		s.owners[set.Name] = set
	}
	for _, pdb := range docs[policyv1.PodDisruptionBudget](t, section(ar, "budgets")) {
		if b, ok := core.NewBudget(pdb); ok {
			s.budgets = append(s.budgets, b)
		}
	}
	return s
}

func runScenario(t *testing.T, file string, res *api.Resource) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := readScenario(t, ar)
	var again []*core.Pod
	for i, pod := range docs[corev1.Pod](t, section(ar, "pods")) {
		status := pod.Status
		res.Strategy.PrepareCreate(pod) // as the API server would have made it
		pod.Status = status
		pod.UID = types.UID(fmt.Sprint("uid-", i))
		p := core.NewPod(pod)
		if pod.Spec.NodeName != "" {
			s.cluster.SetPod(p)
			continue
		}
		if pod.Status.NominatedNodeName != "" {
			s.cluster.Nominate(p, pod.Status.NominatedNodeName)
		}
		if s.try(p) {
			again = append(again, p)
		}
	}
	for _, p := range again {
		s.out.WriteString("again: ")
		s.try(p)
	}
	if *rewrite {
		for i := range ar.Files {
			if ar.Files[i].Name == "want" {
				ar.Files[i].Data = []byte(s.out.String())
			}
		}
		if err := os.WriteFile(file, txtar.Format(ar), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := section(ar, "want"); want != s.out.String() {
		t.Errorf("got:\n%swant:\n%s", s.out.String(), want)
	}
}

// try decides on a pod; it tells whether others were evicted for it.
func (s *scenario) try(p *core.Pod) bool {
	view := s.cluster.View()
	var owner any
	if ref := metav1.GetControllerOf(p.Pod); ref != nil {
		owner = s.owners[ref.Name]
	}
	view.Siblings = core.Siblings(p.Pod, slices.Values(s.services), owner)
	opts := core.Options{Promised: s.cluster.Nominated(p.UID), Pick: func(n int) int { return n - 1 }}
	d := s.profile.Schedule(p, view, opts)
	if d.Node != "" {
		fmt.Fprintf(&s.out, "%s -> %s\n", p.Name, d.Node)
		s.cluster.Assume(p, d.Node)
		return false
	}
	fmt.Fprintf(&s.out, "%s: %s\n", p.Name, d.Diagnosis.Message())
	fmt.Fprintf(&s.out, "    rejected by %s\n", strings.Join(names(d.Diagnosis.Plugins), ", "))
	pre := s.profile.Preempt(p, view, &d, s.budgets, opts)
	if pre.Node == "" {
		if pre.Note != "" {
			fmt.Fprintf(&s.out, "    %s\n", pre.Note)
		}
		return false
	}
	fmt.Fprintf(&s.out, "    %s\n", pre.Note)
	for _, v := range pre.Victims {
		fmt.Fprintf(&s.out, "    evicts %s\n", v.Name)
		s.cluster.RemovePod(v.UID)
	}
	if pre.Overdraws > 0 {
		fmt.Fprintf(&s.out, "    overdraws budgets by %d\n", pre.Overdraws)
	}
	s.cluster.Nominate(p, pre.Node)
	return true
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
