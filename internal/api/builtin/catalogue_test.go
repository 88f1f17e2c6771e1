package builtin_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
)

func newCatalogue(t testing.TB) *api.Catalogue {
	t.Helper()
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDiscovery compares names, scopes, verbs, short names, categories and subresources with what Kubernetes v1.37 serves by
// default (testdata/discovery.txt, a line for each resource).
func TestDiscovery(t *testing.T) {
	var got []string
	for _, r := range newCatalogue(t).Resources() {
		for _, v := range r.Versions {
			gv := schema.GroupVersion{Group: r.Group, Version: v.Name}.String()
			scope := "cluster"
			if r.Namespaced {
				scope = "namespaced"
			}
			got = append(got, line(gv, r.Plural, scope, r.Singular, r.Kind, r.Verbs, r.ShortNames, r.Categories))
			for _, s := range r.Subresources {
				kind := s.GVK.Kind
				if s.GVK.Group != r.Group {
					kind = s.GVK.GroupVersion().String() + "." + kind
				}
				got = append(got, line(gv, r.Plural+"/"+s.Name, scope, "", kind, s.Verbs, nil, nil))
			}
		}
	}
	slices.Sort(got)
	want := lines(t, "testdata/discovery.txt")
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("missing: %s", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("not served upstream: %s", l)
		}
	}
}

func line(gv, name, scope, singular, kind string, verbs, short, categories []string) string {
	sorted := slices.Clone(verbs)
	slices.Sort(sorted)
	return strings.TrimRight(fmt.Sprintf("%s %s %s %s %s %s short=%s categories=%s", gv, name, scope, singular, kind,
		strings.Join(sorted, ","), strings.Join(short, ","), strings.Join(categories, ",")), " ")
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() != "" {
			out = append(out, s.Text())
		}
	}
	return out
}

// TestEntriesAreComplete holds every entry to what others rely on.
func TestEntriesAreComplete(t *testing.T) {
	c := newCatalogue(t)
	paths := map[string]string{}
	for _, r := range c.Resources() {
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			stored, ok := r.Version(r.StoredVersion)
			if !ok {
				t.Fatalf("stored version %q is not among the versions", r.StoredVersion)
			}
			if stored.ToStored != nil && r.StoredAs.Empty() {
				t.Error("the stored version needs no conversion")
			}
			for _, v := range r.Versions {
				checkTypes(t, c.Scheme(), r, v)
			}
			seen := map[string]bool{}
			for _, s := range r.Subresources {
				if seen[s.Name] {
					t.Errorf("subresource %s is there twice", s.Name)
				}
				seen[s.Name] = true
				if len(s.Verbs) == 0 || s.GVK.Kind == "" {
					t.Errorf("subresource %s lacks verbs or a kind", s.Name)
				}
			}
			if seen["status"] != (r.Strategy.PrepareStatus != nil) {
				t.Error("the status subresource and PrepareStatus belong together")
			}
			if seen["scale"] != (r.Scale != nil) {
				t.Error("the scale subresource and Scale belong together")
			}
			if r.StoragePath == "" && r.StoredAs.Empty() {
				return
			}
			checkStored(t, c, r)
			if r.StoragePath != "" {
				if other, taken := paths[r.StoragePath]; taken {
					t.Errorf("storage path %s belongs to %s", r.StoragePath, other)
				}
				paths[r.StoragePath] = r.Plural
			}
		})
	}
}

func checkTypes(t *testing.T, scheme *runtime.Scheme, r *api.Resource, v api.Version) {
	t.Helper()
	gvks, _, err := scheme.ObjectKinds(v.New())
	if err != nil || !slices.Contains(gvks, r.GVK(v.Name)) {
		t.Errorf("version %s makes a %T, which the scheme knows as %v (%v)", v.Name, v.New(), gvks, err)
	}
	if !slices.Contains(r.Verbs, "list") {
		return
	}
	if v.NewList == nil {
		t.Fatalf("version %s cannot make a list", v.Name)
	}
	gvks, _, err = scheme.ObjectKinds(v.NewList())
	want := schema.GroupVersionKind{Group: r.Group, Version: v.Name, Kind: r.ListKind}
	if err != nil || !slices.Contains(gvks, want) {
		t.Errorf("version %s makes a list of %T, which the scheme knows as %v (%v)", v.Name, v.NewList(), gvks, err)
	}
}

func checkStored(t *testing.T, c *api.Catalogue, r *api.Resource) {
	t.Helper()
	if r.Strategy.Validate == nil || r.Strategy.ValidateUpdate == nil || r.Strategy.ValidateName == nil {
		t.Error("validation of metadata is missing")
	}
	if r.Indexes[api.IndexController] == nil {
		t.Error("the controller index is missing")
	}
	owner := r
	if !r.StoredAs.Empty() {
		owner, _ = c.Resource(r.StoredAs)
	}
	obj := owner.NewStored()
	obj.SetName("a")
	if r.Strategy.Default != nil {
		r.Strategy.Default(obj)
	}
	if fields := r.SelectableFields(obj); fields["metadata.name"] != "a" {
		t.Errorf("selectable fields %v lack the name", fields)
	}
	if len(r.Table.Columns) == 0 {
		t.Fatal("no columns")
	}
	for _, col := range r.Table.Columns {
		if col.Name == "" || col.Type == "" || col.Description == "" {
			t.Errorf("column %+v lacks a name, type or description", col)
		}
	}
	if row := r.Table.Row(obj, time.Unix(0, 0)); len(row) != len(r.Table.Columns) {
		t.Errorf("%d cells for %d columns", len(row), len(r.Table.Columns))
	}
	for name, index := range r.Indexes {
		index(obj) // must not need anything of an empty object
		_ = name
	}
	if r.Scale != nil {
		r.Scale.Set(obj, 7)
		if s := r.Scale.Get(obj); s.Spec.Replicas != 7 || s.Name != "a" {
			t.Errorf("scale after setting 7 replicas: %+v", s)
		}
	}
}

// TestShortNames: a short name means one resource, except that events are served by two groups.
func TestShortNames(t *testing.T) {
	owner := map[string]schema.GroupResource{}
	for _, r := range newCatalogue(t).Resources() {
		for _, name := range append([]string{r.Plural, r.Singular}, r.ShortNames...) {
			if other, taken := owner[name]; taken && other != r.GroupResource() && r.Plural != "events" {
				t.Errorf("%s means %s and %s", name, other, r.GroupResource())
			}
			owner[name] = r.GroupResource()
		}
	}
}

// TestStoragePaths pins the folders that are not named like their resource.
func TestStoragePaths(t *testing.T) {
	special := map[string]string{
		"replicationcontrollers": "controllers", "endpoints": "services/endpoints", "nodes": "minions",
		"services": "services/specs", "ingresses.networking.k8s.io": "ingress",
		"customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
		"apiservices.apiregistration.k8s.io":             "apiregistration.k8s.io/apiservices",
	}
	for _, r := range newCatalogue(t).Resources() {
		if r.StoragePath == "" {
			continue
		}
		want, ok := special[r.GroupResource().String()]
		if !ok {
			want = r.Plural
		}
		if r.StoragePath != want {
			t.Errorf("%s is under %s, want %s", r.GroupResource(), r.StoragePath, want)
		}
	}
}
