package openapi_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/spec3"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/openapi"
	"coracle.dev/coracle/internal/api/openapi/document"
)

func load(t *testing.T, path string) *spec3.OpenAPI {
	t.Helper()
	data, ok := openapi.V3(path)
	if !ok {
		t.Fatalf("no document %s", path)
	}
	doc := &spec3.OpenAPI{}
	if err := json.Unmarshal(data, doc); err != nil {
		t.Fatalf("document %s: %v", path, err)
	}
	return doc
}

// TestDocumentsMatchCatalogue fails when a resource, verb or subresource is in the catalogue and not in the documents or the
// other way round: then the generator must be run.
func TestDocumentsMatchCatalogue(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	versions := map[schema.GroupVersion]bool{}
	for _, r := range c.Resources() {
		for _, v := range r.Versions {
			versions[schema.GroupVersion{Group: r.Group, Version: v.Name}] = true
		}
	}
	var roots []string
	for gv := range versions {
		root := document.Root(gv)
		roots = append(roots, root)
		doc := load(t, root)
		models := document.Models{Of: func(gvk schema.GroupVersionKind) (string, bool) {
			name, err := c.Scheme().ToOpenAPIDefinitionName(gvk)
			return name, err == nil
		}}
		want := document.Paths(gv, c.Resources(), models)
		for path, item := range want {
			got := doc.Paths.Paths[path]
			if got == nil {
				t.Errorf("%s: path %s is missing", root, path)
				continue
			}
			if (item.Patch == nil) != (got.Patch == nil) || (item.Get == nil) != (got.Get == nil) ||
				(item.Post == nil) != (got.Post == nil) || (item.Delete == nil) != (got.Delete == nil) {
				t.Errorf("%s: path %s has other methods", root, path)
			}
		}
		for path := range doc.Paths.Paths {
			if _, ok := want[path]; !ok {
				t.Errorf("%s: path %s is for nothing in the catalogue", root, path)
			}
		}
	}
	slices.Sort(roots)
	if got := openapi.V3Paths(); !slices.Equal(got, roots) {
		t.Errorf("documents %v, want %v", got, roots)
	}
}

// TestReferencesResolve: every schema that a document refers to is in it.
func TestReferencesResolve(t *testing.T) {
	for _, path := range openapi.V3Paths() {
		data, _ := openapi.V3(path)
		doc := load(t, path)
		for _, part := range bytes.Split(data, []byte(`"$ref":"`))[1:] {
			ref, _, _ := bytes.Cut(part, []byte(`"`))
			name := strings.TrimPrefix(string(ref), "#/components/schemas/")
			if doc.Components.Schemas[name] == nil {
				t.Fatalf("%s: %s does not resolve", path, ref)
			}
		}
	}
}

// TestWhatKubectlNeeds checks the parts that kubectl explain, apply and --validate=strict read.
func TestWhatKubectlNeeds(t *testing.T) {
	doc := load(t, "apis/apps/v1")
	patch := doc.Paths.Paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].Patch
	var names []string
	for _, p := range patch.Parameters {
		names = append(names, p.Name)
	}
	for _, want := range []string{"dryRun", "fieldManager", "fieldValidation", "force"} {
		if !slices.Contains(names, want) {
			t.Errorf("patch of deployments lacks parameter %s: %v", want, names)
		}
	}
	if !patch.RequestBody.Required {
		t.Error("patch of deployments does not require a body")
	}
	gvk, ok := patch.Extensions["x-kubernetes-group-version-kind"].(map[string]any)
	if !ok || gvk["kind"] != "Deployment" || gvk["group"] != "apps" || gvk["version"] != "v1" {
		t.Errorf("patch of deployments is for %v", patch.Extensions)
	}
	containers := doc.Components.Schemas["io.k8s.api.core.v1.PodSpec"].Properties["containers"]
	for key, want := range map[string]any{
		"x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-list-type": "map",
	} {
		if got := containers.Extensions[key]; got != want {
			t.Errorf("containers: %s is %v, want %v", key, got, want)
		}
	}
	if s := doc.Components.Schemas["io.k8s.api.apps.v1.Deployment"]; s.Description == "" ||
		s.Properties["spec"].Description == "" {
		t.Error("deployments have no descriptions")
	}
}

func TestVersion2(t *testing.T) {
	data, err := openapi.V2()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Swagger     string
		Definitions map[string]struct {
			GVK []struct{ Group, Version, Kind string } `json:"x-kubernetes-group-version-kind"`
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Swagger != "2.0" || doc.Definitions["io.k8s.api.core.v1.Pod"].GVK[0].Kind != "Pod" {
		t.Errorf("version %q, pods are %v", doc.Swagger, doc.Definitions["io.k8s.api.core.v1.Pod"])
	}
	data, err = openapi.V2Protobuf()
	if err != nil {
		t.Fatal(err)
	}
	message := &openapi_v2.Document{}
	if err := proto.Unmarshal(data, message); err != nil {
		t.Fatal(err)
	}
	if got, want := len(message.Definitions.AdditionalProperties), len(doc.Definitions); got != want {
		t.Errorf("%d definitions in protobuf, %d in JSON", got, want)
	}
}

func TestUnknownDocument(t *testing.T) {
	for _, path := range []string{"", "apis", "apis/apps/v2", "../v2", "v2"} {
		if _, ok := openapi.V3(path); ok {
			t.Errorf("found a document %q", path)
		}
	}
}

// TestDocumentsOfCustomResources: the same paths can be written for a kind that comes with a definition.
func TestDocumentsOfCustomResources(t *testing.T) {
	gv := schema.GroupVersion{Group: "example.com", Version: "v1"}
	r := &api.Resource{
		Group: gv.Group, Plural: "boats", Kind: "Boat", ListKind: "BoatList", Namespaced: true, Verbs: []string{"get", "list", "patch"},
		Versions: []api.Version{{Name: "v1"}},
	}
	paths := document.Paths(gv, []*api.Resource{r}, document.Models{Of: func(k schema.GroupVersionKind) (string, bool) {
		return "com.example.v1." + k.Kind, true
	}})
	item, ok := paths["/apis/example.com/v1/namespaces/{namespace}/boats/{name}"]
	if !ok || item.Patch == nil || item.Put != nil {
		t.Fatalf("item: %+v", item)
	}
	if slices.Contains(item.Patch.Consumes, "application/strategic-merge-patch+json") {
		t.Error("custom resources take no strategic merge patches")
	}
	if id := item.Patch.ID; id != "patchExampleComV1NamespacedBoat" {
		t.Errorf("operation ID %s", id)
	}
}
