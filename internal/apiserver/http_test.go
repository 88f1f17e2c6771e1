package apiserver_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/servertest"
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
	near := must(t, server, call{method: "GET", path: maps, header: header("Accept-Encoding", "gzip")})
	if near.Header.Get("Content-Encoding") != "" || !bytes.Equal(near.body, plain.body) {
		t.Error("an answer to this machine was compressed")
	}
	// The same from another machine.
	far := httptest.NewRequest(http.MethodGet, maps, nil)
	far.RemoteAddr = "192.0.2.7:4711"
	far.Header.Set("Accept-Encoding", "gzip")
	packed := httptest.NewRecorder()
	server.ServeHTTP(packed, far)
	if packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %d %v", packed.Code, packed.Header())
	}
	z, err := gzip.NewReader(packed.Body)
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
