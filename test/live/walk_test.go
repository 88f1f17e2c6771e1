package live

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// tracer is an admission plugin that writes down who writes what in the namespace of the test.
type tracer struct {
	mu    sync.Mutex
	lines []string
}

func (*tracer) Name() string                                      { return "Tracer" }
func (*tracer) Admit(context.Context, *admission.Operation) error { return nil }

func (r *tracer) Validate(_ context.Context, op *admission.Operation) error {
	if op.Namespace != "shop" {
		return nil
	}
	who := "admin"
	if name, ok := strings.CutPrefix(op.User.Name, request.ServiceAccountPrefix+"kube-system:"); ok {
		who = strings.TrimSuffix(strings.TrimSuffix(name, "-controller"), "-controller")
	}
	what := op.Resource
	if op.Subresource != "" {
		what += "/" + op.Subresource
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, who+": "+op.Verb+" "+what)
	return nil
}

func (r *tracer) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// TestWalk holds docs/walk.md to the truth: its traces are what happens, in that order.
func TestWalk(t *testing.T) {
	trace := &tracer{}
	c := start(t, trace)
	c.write(reconcile.Creating(kinds.Services(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}))
	until(c, kinds.EndpointSlices(), "an empty slice", func(s client.Snapshot) bool { return s.Len() > 0 })
	c.write(reconcile.Creating(kinds.Deployments(), web(1)))
	until(c, kinds.Deployments(), "one replica", available(1, "1"))
	until(c, kinds.EndpointSlices(), "its address", func(s client.Snapshot) bool {
		for obj := range s.All("shop") {
			if slice, ok := obj.(*discoveryv1.EndpointSlice); ok && len(slice.Endpoints) == 1 {
				return true
			}
		}
		return false
	})
	happened := trace.all()
	page, err := os.ReadFile("../../docs/walk.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```trace\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("docs/walk.md has %d traces, want 2", len(blocks))
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		rest := happened
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			at := slices.Index(rest, line)
			if at < 0 {
				t.Fatalf("docs/walk.md says %q, which did not happen there; what happened:\n%s", line, strings.Join(happened, "\n"))
			}
			rest = rest[at+1:]
		}
	}
}

// TestWalkNamesPackages: every package that the page names exists.
func TestWalkNamesPackages(t *testing.T) {
	page, err := os.ReadFile("../../docs/walk.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i, part := range strings.Split(string(page), "`") {
		if i%2 == 1 && (strings.HasPrefix(part, "internal/") || strings.HasPrefix(part, "cmd/")) {
			found++
			if _, err := os.Stat("../../" + part); err != nil {
				t.Errorf("docs/walk.md names %s: %v", part, err)
			}
		}
	}
	if found == 0 {
		t.Error("no packages found in docs/walk.md")
	}
}
