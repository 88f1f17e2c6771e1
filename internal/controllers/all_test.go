package controllers_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/controllers"
	"coracle.dev/coracle/internal/controllers/nodeipam"
	"coracle.dev/coracle/internal/reconcile"
	_ "coracle.dev/coracle/internal/reconcile/reconciletest" // defines -rewrite
)

func everything(t *testing.T) []reconcile.Controller {
	t.Helper()
	all, err := controllers.All(controllers.Config{
		PodRanges: []nodeipam.Range{{Prefix: netip.MustParsePrefix("10.42.0.0/16"), NodeBits: 24}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if flag.Lookup("rewrite").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestGraph keeps a readable record of who reads and writes what.
func TestGraph(t *testing.T) {
	var b strings.Builder
	for _, e := range reconcile.Graph(everything(t)...) {
		fmt.Fprintf(&b, "%s\n  reads  %s\n  writes %s\n", e.Controller, strings.Join(e.Reads, ", "), strings.Join(e.Writes, ", "))
		if len(e.Ports) > 0 {
			fmt.Fprintf(&b, "  ports  %s\n", strings.Join(e.Ports, ", "))
		}
	}
	golden(t, "graph.txt", b.String())
}

// TestRoles keeps what each controller may do.
func TestRoles(t *testing.T) {
	var b strings.Builder
	for _, r := range reconcile.Roles(everything(t)...) {
		rules, err := yaml.Marshal(r.Role.Rules)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s\n", r.Role.Name, rules)
	}
	golden(t, "roles.txt", b.String())
}
