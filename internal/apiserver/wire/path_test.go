package wire

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coracle.dev/coracle/internal/apiserver/request"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		method, path, query string
		want                request.Attributes
		rest                string
	}{
		{"GET", "/api/v1/pods", "", request.Attributes{Verb: "list", IsResource: true, Version: "v1", Resource: "pods"}, ""},
		{
			"GET", "/api/v1/namespaces/ns/pods", "watch=true",
			request.Attributes{Verb: "watch", IsResource: true, Version: "v1", Resource: "pods", Namespace: "ns"},
			"",
		},
		{
			"GET", "/api/v1/namespaces/ns/pods", "watch=false",
			request.Attributes{Verb: "list", IsResource: true, Version: "v1", Resource: "pods", Namespace: "ns"},
			"",
		},
		{
			"GET", "/api/v1/watch/namespaces/ns/pods/p", "",
			request.Attributes{Verb: "watch", IsResource: true, Version: "v1", Resource: "pods", Namespace: "ns", Name: "p"},
			"",
		},
		{
			"GET", "/apis/apps/v1/namespaces/ns/deployments/d/status", "",
			request.Attributes{
				Verb: "get", IsResource: true, Group: "apps", Version: "v1", Resource: "deployments", Namespace: "ns", Name: "d",
				Subresource: "status",
			},
			"",
		},
		{
			"GET", "/api/v1/namespaces/ns", "",
			request.Attributes{Verb: "get", IsResource: true, Version: "v1", Resource: "namespaces", Namespace: "ns", Name: "ns"},
			"",
		},
		{
			"PUT", "/api/v1/namespaces/ns/finalize", "",
			request.Attributes{
				Verb: "update", IsResource: true, Version: "v1", Resource: "namespaces", Namespace: "ns", Name: "ns",
				Subresource: "finalize",
			},
			"",
		},
		{
			"DELETE", "/api/v1/namespaces/ns/pods", "labelSelector=a%3Db",
			request.Attributes{
				Verb: "deletecollection", IsResource: true, Version: "v1", Resource: "pods", Namespace: "ns", LabelSelector: "a=b",
			},
			"",
		},
		{
			"GET", "/api/v1/pods", "fieldSelector=metadata.name%3Dx",
			request.Attributes{
				Verb: "list", IsResource: true, Version: "v1", Resource: "pods", Name: "x", FieldSelector: "metadata.name=x",
			},
			"",
		},
		{
			"POST", "/api/v1/namespaces/ns/services/web:80/proxy/a/b/", "",
			request.Attributes{
				Verb: "create", IsResource: true, Version: "v1", Resource: "services", Namespace: "ns", Name: "web:80",
				Subresource: "proxy",
			},
			"a/b/",
		},
		{"GET", "/apis/apps/v1", "", request.Attributes{Verb: "get"}, ""},
		{"GET", "/healthz", "", request.Attributes{Verb: "get"}, ""},
		{"GET", "//", "", request.Attributes{Verb: "get"}, ""},
	} {
		t.Run(c.method+" "+c.path+"?"+c.query, func(t *testing.T) {
			query, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			got, rest := Parse(c.method, c.path, query)
			c.want.Path = c.path
			if diff := cmp.Diff(c.want, got); diff != "" || rest != c.rest {
				t.Errorf("rest %q, want %q\n%s", rest, c.rest, diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{
		"/api/v1/pods", "/apis/apps/v1/namespaces/a/deployments/b/status", "/api/v1/watch/x", "/api/v1/namespaces", "/",
		"/api/v1/nodes/n/proxy/x//y", "/apis//v1/pods", "/api/v1//",
	} {
		f.Add("GET", path, "watch=1&fieldSelector=metadata.name=x")
		f.Add("DELETE", path, "")
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		a, rest := Parse(method, path, values)
		if a.IsResource && !strings.HasPrefix(strings.TrimLeft(path, "/"), "api") {
			t.Errorf("%q is no resource path", path)
		}
		if rest != "" && a.Subresource == "" {
			t.Errorf("%q: a rest %q without a subresource", path, rest)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add("limit=5&continue=x&resourceVersion=3&timeoutSeconds=-1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
	f.Add("allowWatchBookmarks=0&gracePeriodSeconds=x&propagationPolicy=Orphan&orphanDependents=false")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, watching := range []bool{false, true} {
			if opts, err := listOptions(values, watching); err == nil && opts.Limit < 0 && values.Get("limit") == "" {
				t.Errorf("%q: a limit out of nothing", query)
			}
		}
		_, _ = deleteQuery(values)
		_, _ = readWriteOptions(values).create()
	})
}

func FuzzAccept(f *testing.F) {
	for _, accept := range []string{
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "*/*", "application/vnd.kubernetes.protobuf;q=0.5",
		"text/html, application/*;q=0", ";;;,,", "application/json;as=Table",
	} {
		f.Add(accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		m, ok := chooseClause(accept, offer{})
		if ok && m.As != "" {
			t.Errorf("%q: a transformation that was not offered", accept)
		}
		if m, ok := chooseClause(accept, offer{protobuf: true, transforms: true}); ok && m.Type == "" {
			t.Errorf("%q: no media type", accept)
		}
	})
}

func FuzzManager(f *testing.F) {
	f.Add("kubectl/v1.37 (linux)")
	f.Add("\x00\xff/x")
	f.Fuzz(func(t *testing.T, agent string) {
		got := managerOf("", agent)
		if len(got) > 128 || strings.Contains(got, "/") {
			t.Errorf("%q became %q", agent, got)
		}
	})
}
