package admission

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client/clientfake"
)

// scenario is one file of testdata, named after its plugin.
type scenario struct {
	// Existing are the objects of the cluster.
	Existing []json.RawMessage `json:"existing"`
	Cases    []struct {
		Name   string   `json:"name"`
		User   string   `json:"user"`
		Groups []string `json:"groups"`
		// Call is "verb group/resource/subresource", the group left out for the core one.
		Call      string          `json:"call"`
		Namespace string          `json:"namespace"`
		Object    json.RawMessage `json:"object"`
		Old       json.RawMessage `json:"old"`
		// ObjectName is the name in the URL.
		ObjectName string `json:"objectName"`
		// Error is a part of the message, Reason the error's reason (Forbidden when there is an error).
		Error  string `json:"error"`
		Reason string `json:"reason"`
		// Change is a merge patch that makes the admitted object of the given one. Nothing: it stays as it is.
		Change json.RawMessage `json:"change"`
	} `json:"cases"`
}

func decode(t *testing.T, raw json.RawMessage) runtime.Object {
	t.Helper()
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	return obj
}

func plugins(t *testing.T, objects []api.Object) map[string]Plugin {
	t.Helper()
	c := clientfake.New(nil, objects...)
	rbac, err := authz.NewRBAC(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := rbac.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	all := map[string]Plugin{}
	for _, p := range Default(Config{
		Objects: lookup.New(c), RBAC: rbac, Authorizer: authz.New(nil, rbac), Suffix: func() string { return "xxxxx" },
	}) {
		all[p.Name()] = p
	}
	return all
}

func TestPlugins(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		seen[name] = true
		t.Run(name, func(t *testing.T) { runScenario(t, file, name) })
	}
	for name := range plugins(t, nil) {
		if !seen[name] {
			t.Errorf("plugin %s has no testdata/%s.yaml", name, name)
		}
	}
}

func runScenario(t *testing.T, file, name string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s scenario
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		t.Fatal(err)
	}
	var objects []api.Object
	for _, raw := range s.Existing {
		objects = append(objects, decode(t, raw).(api.Object))
	}
	plugin, ok := plugins(t, objects)[name]
	if !ok {
		t.Fatalf("no plugin %s", name)
	}
	for _, c := range s.Cases {
		t.Run(c.Name, func(t *testing.T) {
			verb, rest, _ := strings.Cut(c.Call, " ")
			op := &Operation{
				Object: decode(t, c.Object), Old: decode(t, c.Old), Warn: func(string) {},
				Attributes: request.Attributes{
					Verb: verb, IsResource: true, Namespace: c.Namespace, Name: c.ObjectName,
					User: request.User{Name: c.User, Groups: c.Groups},
				},
			}
			switch parts := strings.Split(rest, "/"); len(parts) {
			case 1:
				op.Resource = parts[0]
			case 2:
				op.Group, op.Resource = parts[0], parts[1]
			default:
				op.Group, op.Resource, op.Subresource = parts[0], parts[1], parts[2]
			}
			err := plugin.Admit(context.Background(), op)
			admitted := op.Object
			if err == nil {
				before := marshal(t, op.Object)
				err = plugin.Validate(context.Background(), op)
				if after := marshal(t, op.Object); after != before {
					t.Errorf("Validate changed the object:\n%s\n%s", before, after)
				}
			}
			checkError(t, err, c.Error, c.Reason)
			if err == nil && admitted != nil {
				checkChange(t, c.Object, c.Change, admitted)
			}
		})
	}
}

func checkError(t *testing.T, err error, want, reason string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want %q", err, want)
	}
	if reason == "" {
		reason = "Forbidden"
	}
	if got := string(apierrors.ReasonForError(err)); got != reason {
		t.Fatalf("reason %s of %v, want %s", got, err, reason)
	}
}

// checkChange compares the admitted object with the given one after the expected change.
func checkChange(t *testing.T, given, change json.RawMessage, admitted runtime.Object) {
	t.Helper()
	want := []byte(marshal(t, decode(t, given)))
	if len(change) > 0 && string(change) != "null" {
		var err error
		if want, err = jsonpatch.MergePatch(want, change); err != nil {
			t.Fatal(err)
		}
	}
	if got := []byte(marshal(t, admitted)); !jsonpatch.Equal(got, want) {
		t.Errorf("admitted:\n%s\nwant:\n%s", got, want)
	}
}

func marshal(t *testing.T, obj runtime.Object) string {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
