package apiserver_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/servertest"

	"context"
)

// call is one HTTP request of a test.
type call struct {
	method, path, body string
	header             map[string]string
}

// answer is what came back.
type answer struct {
	*http.Response
	body   []byte
	status metav1.Status
}

func do(t *testing.T, server *servertest.Running, c call) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "http-test/1")
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	resp, err := server.HTTP.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	a := answer{Response: resp, body: body}
	if resp.StatusCode >= 400 || bytes.Contains(body, []byte(`"kind":"Status"`)) {
		_ = json.Unmarshal(body, &a.status) // not every refusal is a Status
	}
	return a
}

// must is do for a request that has to succeed.
func must(t *testing.T, server *servertest.Running, c call) answer {
	t.Helper()
	a := do(t, server, c)
	if a.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", c.method, c.path, a.StatusCode, a.body)
	}
	return a
}

const (
	maps    = "/api/v1/namespaces/default/configmaps"
	asYAML  = "application/yaml"
	asProto = "application/vnd.kubernetes.protobuf"
	asTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

	asPartial    = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	asAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
)

func jsonMap(name string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"},"data":{"k":"v"}}`
}

func header(pairs ...string) map[string]string {
	h := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

func TestRefusals(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: maps, body: jsonMap("there")})
	big := strings.Repeat("x", 3*1024*1024+1)
	for _, c := range []struct {
		name    string
		call    call
		code    int
		reason  metav1.StatusReason
		message string
	}{
		{
			"not found", call{method: "GET", path: maps + "/none"},
			404, metav1.StatusReasonNotFound, `configmaps "none" not found`,
		},
		{
			"exists", call{method: "POST", path: maps, body: jsonMap("there")},
			409, metav1.StatusReasonAlreadyExists, `configmaps "there" already exists`,
		},
		{
			"malformed", call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap"`},
			400, metav1.StatusReasonBadRequest,
			`the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error`,
		},
		{
			"empty", call{method: "POST", path: maps},
			400, metav1.StatusReasonBadRequest, `<empty>`,
		},
		{
			"wrong kind", call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`},
			400, metav1.StatusReasonBadRequest, `Secret in version "v1" cannot be handled as a ConfigMap`,
		},
		{
			"wrong version", call{
				method: "POST", path: maps, body: `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`the API version in the data (apps/v1) does not match the expected API version (v1)`,
		},
		{
			"unknown field, strict", call{
				method: "POST", path: maps + "?fieldValidation=Strict",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"daata":{}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "daata"`,
		},
		{
			"duplicate field, strict", call{
				method: "POST", path: maps + "?fieldValidation=Strict",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"b"}}`,
			},
			400, metav1.StatusReasonBadRequest, `strict decoding error: duplicate field "metadata.name"`,
		},
		{
			"content type", call{method: "POST", path: maps, body: "x", header: header("Content-Type", "text/plain")},
			415, metav1.StatusReasonUnsupportedMediaType,
			`the body of the request was in an unknown format - accepted media types include: application/json, application/yaml`,
		},
		{
			"patch type", call{method: "PATCH", path: maps + "/there", body: "{}", header: header("Content-Type", "application/json")},
			415, metav1.StatusReasonUnsupportedMediaType, `application/strategic-merge-patch+json`,
		},
		{
			"accept", call{method: "GET", path: maps, header: header("Accept", "text/html")},
			406, metav1.StatusReasonNotAcceptable,
			`only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf`,
		},
		{
			"too big", call{method: "POST", path: maps, body: big},
			413, metav1.StatusReasonRequestEntityTooLarge, `Request entity too large: limit is 3145728`,
		},
		{
			"bad name", call{method: "POST", path: maps, body: jsonMap("Not_Good")},
			422, metav1.StatusReasonInvalid, `ConfigMap "Not_Good" is invalid: metadata.name: Invalid value: "Not_Good"`,
		},
		{
			"no name", call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}`},
			422, metav1.StatusReasonInvalid, `metadata.name: Required value: name or generateName is required`,
		},
		{
			"namespace mismatch", call{
				method: "POST", path: maps,
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`the namespace of the provided object does not match the namespace sent on the request`,
		},
		{
			"name mismatch", call{method: "PUT", path: maps + "/there", body: jsonMap("other")},
			400, metav1.StatusReasonBadRequest, `the name of the object (other) does not match the name on the URL (there)`,
		},
		{
			"stale", call{
				method: "PUT", path: maps + "/there",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","resourceVersion":"1"}}`,
			},
			409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on configmaps "there": the object has been modified; ` +
				`please apply your changes to the latest version and try again`,
		},
		{
			"lease without revision", call{
				method: "PUT", path: "/api/v1/namespaces/default/endpoints/none",
				body: `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"none","uid":"u"}}`,
			},
			409, metav1.StatusReasonConflict, `Precondition failed: UID in precondition: u, UID in object meta: `,
		},
		{
			"label selector", call{method: "GET", path: maps + "?labelSelector=a=b=c"},
			400, metav1.StatusReasonBadRequest, `unable to parse`,
		},
		{
			"field selector", call{method: "GET", path: maps + "?fieldSelector=data.k=v"},
			400, metav1.StatusReasonBadRequest, `field label not supported: data.k`,
		},
		{
			"resource version", call{method: "GET", path: maps + "?resourceVersion=abc"},
			400, metav1.StatusReasonBadRequest, `invalid resource version`,
		},
		{
			"match without version", call{method: "GET", path: maps + "?resourceVersionMatch=Exact"},
			422, metav1.StatusReasonInvalid, `resourceVersionMatch is forbidden unless resourceVersion is provided`,
		},
		{
			"watch on nonsense", call{method: "GET", path: maps + "?watch=1&resourceVersion=nonsense"},
			400, metav1.StatusReasonBadRequest, `invalid resource version`,
		},
		{
			"future list", call{method: "GET", path: maps + "?resourceVersion=99999999"},
			504, metav1.StatusReasonTimeout, `Too large resource version: 99999999, current: `,
		},
		{
			"continue token", call{method: "GET", path: maps + "?continue=zzz"},
			400, metav1.StatusReasonBadRequest, `continue key is not valid`,
		},
		{
			"limit", call{method: "GET", path: maps + "?limit=many"},
			400, metav1.StatusReasonBadRequest, `strconv.ParseInt`,
		},
		{
			"dry run", call{method: "POST", path: maps + "?dryRun=Some", body: jsonMap("a")},
			422, metav1.StatusReasonInvalid, `dryRun: Unsupported value: ["Some"]: supported values: "All"`,
		},
		{
			"JSON patch that does not fit", call{
				method: "PATCH", path: maps + "/there", body: `[{"op":"test","path":"/data/k","value":"w"}]`,
				header: header("Content-Type", "application/json-patch+json"),
			},
			422, metav1.StatusReasonInvalid, `the server rejected our request due to an error in our request`,
		},
		{
			"apply without manager", call{
				method: "PATCH", path: maps + "/there", body: jsonMap("there"),
				header: header("Content-Type", "application/apply-patch+yaml"),
			},
			422, metav1.StatusReasonInvalid, `fieldManager: Required value: is required for apply patch`,
		},
		{
			"method", call{method: "DELETE", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
			405, metav1.StatusReasonMethodNotAllowed, `not supported`,
		},
		{
			"delete precondition", call{method: "DELETE", path: maps + "/there", body: `{"preconditions":{"uid":"other"}}`},
			409, metav1.StatusReasonConflict, `the UID in the precondition (other) does not match the UID in record`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := do(t, server, c.call)
			if a.StatusCode != c.code || a.status.Reason != c.reason || !strings.Contains(a.status.Message, c.message) {
				t.Errorf("got %d %s\nwant %d %s %q", a.StatusCode, a.body, c.code, c.reason, c.message)
			}
			if a.status.Kind != "Status" || int(a.status.Code) != c.code {
				t.Errorf("not a whole Status: %s", a.body)
			}
		})
	}
	for _, path := range []string{"/nowhere", "/apis/no.such.group/v1/things", "/api/v1/things", "/api/v1/pods/a/b/c/d"} {
		if a := do(t, server, call{method: "GET", path: path}); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

// deny refuses everyone but administrators.
type deny struct{}

func (deny) Authorize(_ context.Context, a *request.Attributes) (authz.Decision, string, error) {
	if a.User.InGroup(request.GroupMasters) {
		return authz.Allow, "", nil
	}
	return authz.NoOpinion, "", nil
}

func TestForbidden(t *testing.T) {
	cfg := servertest.Config(t)
	cfg.Authorizer = deny{}
	server := servertest.Start(t, cfg)
	for _, c := range []struct{ path, want string }{
		{
			"/api/v1/namespaces/default/pods",
			`pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"`,
		},
		{
			"/apis/apps/v1/namespaces/x/deployments/d",
			`deployments.apps "d" is forbidden: User "bob" cannot get resource "deployments" in API group "apps" in the namespace "x"`,
		},
		{"/api/v1/nodes", `nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope`},
		{"/metrics", `forbidden: User "bob" cannot get path "/metrics"`},
	} {
		a := do(t, server, call{method: "GET", path: c.path, header: header("Authorization", "Bearer bob")})
		if a.StatusCode != 403 || a.status.Message != c.want {
			t.Errorf("%s: %d %q\nwant %q", c.path, a.StatusCode, a.status.Message, c.want)
		}
	}
	a := do(t, server, call{
		method: "GET", path: "/api/v1/nodes", header: header("Impersonate-User", "eve", "Impersonate-Group", "g"),
	})
	if a.StatusCode != 403 || !strings.Contains(a.status.Message, `User "eve" cannot list`) {
		t.Errorf("impersonated: %d %s", a.StatusCode, a.body)
	}
	a = do(t, server, call{
		method: "GET", path: "/api/v1/nodes", header: header("Authorization", "Bearer bob", "Impersonate-User", "admin"),
	})
	if a.StatusCode != 403 || !strings.Contains(a.status.Message, `User "bob" cannot impersonate resource "users"`) {
		t.Errorf("impersonating without the right: %d %s", a.StatusCode, a.body)
	}
}

func TestForms(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{
		method: "POST", path: maps, header: header("Content-Type", asYAML),
		body: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {x: \"y\"}\ndata:\n  k: v\n",
	})
	for _, c := range []struct {
		name, path, accept, contentType string
		want                            []string
	}{
		{"json", maps + "/a", "", "application/json", []string{`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"`, "}\n"}},
		{"yaml", maps + "/a", asYAML, asYAML, []string{"apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"}},
		{"protobuf", maps + "/a", asProto, asProto, []string{"k8s\x00", "ConfigMap"}},
		{"pretty", maps + "/a?pretty=true", "", "application/json", []string{"{\n  \"kind\": \"ConfigMap\","}},
		{"list", maps, "", "application/json", []string{
			`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"`, `"items":[{"metadata":{"name":"a"`,
		}},
		{"empty list", "/api/v1/secrets", "", "application/json", []string{`"items":[]}`}},
		{"yaml list", maps, asYAML, asYAML, []string{"kind: ConfigMapList", "- data:\n    k: v\n"}},
		{"table", maps, asTable, "application/json", []string{
			`{"kind":"Table","apiVersion":"meta.k8s.io/v1"`, `"columnDefinitions":[{"name":"Name"`, `"kind":"PartialObjectMetadata"`,
		}},
		{"table of one", maps + "/a", asTable, "application/json", []string{`"kind":"Table"`, `"cells":["a",`}},
		{"table without objects", maps + "?includeObject=None", asTable, "application/json", []string{`"object":null`}},
		{"table with objects", maps + "?includeObject=Object", asTable, "application/json", []string{`"object":{"kind":"ConfigMap"`}},
		{"metadata", maps, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/json", []string{
			`{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"`,
			`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"`,
		}},
		{"metadata of one", maps + "/a", asPartial, "application/json", []string{`"labels":{"x":"y"}`}},
		{
			"quality", maps + "/a", "text/html;q=0.9, application/yaml;q=0.8, application/json;q=0.7", asYAML,
			[]string{"kind: ConfigMap"},
		},
		{"version", "/version", "", "application/json", []string{`"gitVersion"`}},
		{"groups", "/apis", "", "application/json", []string{`{"kind":"APIGroupList"`, `"name":"apps"`}},
		{"group", "/apis/apps", "", "application/json", []string{`"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}`}},
		{"resources", "/api/v1", "", "application/json", []string{
			`"name":"pods/eviction"`, `"group":"policy","version":"v1","kind":"Eviction"`,
		}},
		{
			"aggregated", "/apis", asAggregated + ",application/json", asAggregated,
			[]string{`"kind":"APIGroupDiscoveryList"`, `"resource":"deployments"`},
		},
		{"index", "/", "", "application/json", []string{`"/apis/apps/v1"`, `"/readyz"`}},
		{"health", "/readyz?verbose", "", "text/plain; charset=utf-8", []string{"[+]etcd ok\n", "readyz check passed\n"}},
		{"one check", "/livez/ping", "", "text/plain; charset=utf-8", []string{"ok"}},
		{
			"metrics", "/metrics", "", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
			[]string{"apiserver_request_total{"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := must(t, server, call{method: "GET", path: c.path, header: header("Accept", c.accept)})
			if got := a.Header.Get("Content-Type"); got != c.contentType {
				t.Errorf("content type %q, want %q", got, c.contentType)
			}
			for _, want := range c.want {
				if !bytes.Contains(a.body, []byte(want)) {
					t.Errorf("lacks %q:\n%s", want, a.body)
				}
			}
			if a.Header.Get("Audit-Id") == "" {
				t.Error("no audit ID")
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	a := must(t, server, call{
		method: "POST", path: maps,
		body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"a"},"daata":{"k":"v"}}`,
	})
	got := strings.Join(a.Header.Values("Warning"), "\n")
	for _, want := range []string{`299 - "unknown field \"daata\""`, `duplicate field \"metadata.name\"`} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings lack %s:\n%s", want, got)
		}
	}
	a = must(t, server, call{
		method: "POST", path: maps + "?fieldValidation=Ignore",
		body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"daata":{"k":"v"}}`,
	})
	if got := a.Header.Values("Warning"); len(got) > 0 {
		t.Errorf("warned: %s", got)
	}
}

func TestPages(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	for i := range 5 {
		must(t, server, call{method: "POST", path: maps, body: jsonMap(fmt.Sprintf("m%d", i))})
	}
	type list struct {
		Metadata metav1.ListMeta
		Items    []struct{ Metadata metav1.ObjectMeta }
	}
	read := func(query string) (out list) {
		t.Helper()
		a := must(t, server, call{method: "GET", path: maps + query})
		if err := json.Unmarshal(a.body, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := read("?limit=2")
	left := first.Metadata.RemainingItemCount
	if len(first.Items) != 2 || first.Metadata.Continue == "" || left == nil || *left != 3 {
		t.Fatalf("first page: %+v", first)
	}
	must(t, server, call{method: "DELETE", path: maps + "/m3"})
	second := read("?limit=2&continue=" + first.Metadata.Continue)
	if len(second.Items) != 2 || second.Items[1].Metadata.Name != "m3" ||
		second.Metadata.ResourceVersion != first.Metadata.ResourceVersion {
		t.Errorf("the second page is not of the same state as the first: %+v", second)
	}
	last := read("?limit=2&continue=" + second.Metadata.Continue)
	if len(last.Items) != 1 || last.Metadata.Continue != "" {
		t.Errorf("last page: %+v", last)
	}
	exact := read("?resourceVersion=" + first.Metadata.ResourceVersion + "&resourceVersionMatch=Exact")
	if len(exact.Items) != 5 {
		t.Errorf("exactly at the first revision: %d items", len(exact.Items))
	}
	newer := read("?resourceVersion=" + first.Metadata.ResourceVersion + "&resourceVersionMatch=NotOlderThan")
	if len(newer.Items) != 4 {
		t.Errorf("not older than the first revision: %d items", len(newer.Items))
	}
}

func TestCompression(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"k":"` + strings.Repeat("v", 40_000) + `"}}`
	for i := range 5 {
		must(t, server, call{method: "POST", path: maps, body: fmt.Sprintf(body, fmt.Sprintf("m%d", i))})
	}
	plain := must(t, server, call{method: "GET", path: maps, header: header("Accept-Encoding", "identity")})
	packed := must(t, server, call{method: "GET", path: maps, header: header("Accept-Encoding", "gzip")})
	if packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", packed.Header)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(unpacked, plain.body) {
		t.Errorf("unpacked to something else: %v", err)
	}
	small := must(t, server, call{method: "GET", path: maps + "/m1", header: header("Accept-Encoding", "gzip")})
	if small.Header.Get("Content-Encoding") != "" {
		t.Error("a small answer was compressed")
	}
}
