package apiserver_test

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/servertest"
)

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
			"not found",
			call{method: "GET", path: maps + "/none"},
			404, metav1.StatusReasonNotFound, `configmaps "none" not found`,
		},
		{
			"exists",
			call{method: "POST", path: maps, body: jsonMap("there")},
			409, metav1.StatusReasonAlreadyExists, `configmaps "there" already exists`,
		},
		{
			"malformed",
			call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap"`},
			400, metav1.StatusReasonBadRequest,
			`the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error`,
		},
		{
			"empty",
			call{method: "POST", path: maps},
			400, metav1.StatusReasonBadRequest, `<empty>`,
		},
		{
			"wrong kind",
			call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`},
			400, metav1.StatusReasonBadRequest, `Secret in version "v1" cannot be handled as a ConfigMap`,
		},
		{
			"wrong version",
			call{
				method: "POST", path: maps, body: `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`the API version in the data (apps/v1) does not match the expected API version (v1)`,
		},
		{
			"unknown field, strict",
			call{
				method: "POST", path: maps + "?fieldValidation=Strict",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"daata":{}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "daata"`,
		},
		{
			"duplicate field, strict",
			call{
				method: "POST", path: maps + "?fieldValidation=Strict",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"b"}}`,
			},
			400, metav1.StatusReasonBadRequest, `strict decoding error: duplicate field "metadata.name"`,
		},
		{
			"content type",
			call{method: "POST", path: maps, body: "x", header: header("Content-Type", "text/plain")},
			415, metav1.StatusReasonUnsupportedMediaType,
			`the body of the request was in an unknown format - accepted media types include: application/json, application/yaml`,
		},
		{
			"patch type",
			call{method: "PATCH", path: maps + "/there", body: "{}", header: header("Content-Type", "application/json")},
			415, metav1.StatusReasonUnsupportedMediaType, `application/strategic-merge-patch+json`,
		},
		{
			"accept",
			call{method: "GET", path: maps, header: header("Accept", "text/html")},
			406, metav1.StatusReasonNotAcceptable,
			`only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf`,
		},
		{
			"too big",
			call{method: "POST", path: maps, body: big},
			413, metav1.StatusReasonRequestEntityTooLarge, `Request entity too large: limit is 3145728`,
		},
		{
			"bad name",
			call{method: "POST", path: maps, body: jsonMap("Not_Good")},
			422, metav1.StatusReasonInvalid, `ConfigMap "Not_Good" is invalid: metadata.name: Invalid value: "Not_Good"`,
		},
		{
			"no name",
			call{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}`},
			422, metav1.StatusReasonInvalid, `metadata.name: Required value: name or generateName is required`,
		},
		{
			"namespace mismatch",
			call{
				method: "POST", path: maps,
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}`,
			},
			400, metav1.StatusReasonBadRequest,
			`the namespace of the provided object does not match the namespace sent on the request`,
		},
		{
			"name mismatch",
			call{method: "PUT", path: maps + "/there", body: jsonMap("other")},
			400, metav1.StatusReasonBadRequest, `the name of the object (other) does not match the name on the URL (there)`,
		},
		{
			"stale",
			call{
				method: "PUT", path: maps + "/there",
				body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","resourceVersion":"1"}}`,
			},
			409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on configmaps "there": the object has been modified; ` +
				`please apply your changes to the latest version and try again`,
		},
		{
			"lease without revision",
			call{
				method: "PUT", path: "/api/v1/namespaces/default/endpoints/none",
				body: `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"none","uid":"u"}}`,
			},
			409, metav1.StatusReasonConflict, `Precondition failed: UID in precondition: u, UID in object meta: `,
		},
		{
			"label selector",
			call{method: "GET", path: maps + "?labelSelector=a=b=c"},
			400, metav1.StatusReasonBadRequest, `unable to parse`,
		},
		{
			"field selector",
			call{method: "GET", path: maps + "?fieldSelector=data.k=v"},
			400, metav1.StatusReasonBadRequest, `field label not supported: data.k`,
		},
		{
			"resource version",
			call{method: "GET", path: maps + "?resourceVersion=abc"},
			400, metav1.StatusReasonBadRequest, `invalid resource version`,
		},
		{
			"match without version",
			call{method: "GET", path: maps + "?resourceVersionMatch=Exact"},
			422, metav1.StatusReasonInvalid, `resourceVersionMatch is forbidden unless resourceVersion is provided`,
		},
		{
			"watch on nonsense",
			call{method: "GET", path: maps + "?watch=1&resourceVersion=nonsense"},
			400, metav1.StatusReasonBadRequest, `invalid resource version`,
		},
		{
			"future list",
			call{method: "GET", path: maps + "?resourceVersion=99999999"},
			504, metav1.StatusReasonTimeout, `Too large resource version: 99999999, current: `,
		},
		{
			"continue token",
			call{method: "GET", path: maps + "?continue=zzz"},
			400, metav1.StatusReasonBadRequest, `continue key is not valid`,
		},
		{
			"limit",
			call{method: "GET", path: maps + "?limit=many"},
			400, metav1.StatusReasonBadRequest, `strconv.ParseInt`,
		},
		{
			"dry run",
			call{method: "POST", path: maps + "?dryRun=Some", body: jsonMap("a")},
			422, metav1.StatusReasonInvalid, `dryRun: Unsupported value: ["Some"]: supported values: "All"`,
		},
		{
			"JSON patch that does not fit",
			call{
				method: "PATCH", path: maps + "/there", body: `[{"op":"test","path":"/data/k","value":"w"}]`,
				header: header("Content-Type", "application/json-patch+json"),
			},
			422, metav1.StatusReasonInvalid, `the server rejected our request due to an error in our request`,
		},
		{
			"apply without manager",
			call{
				method: "PATCH", path: maps + "/there", body: jsonMap("there"),
				header: header("Content-Type", "application/apply-patch+yaml"),
			},
			422, metav1.StatusReasonInvalid, `fieldManager: Required value: is required for apply patch`,
		},
		{
			"method",
			call{method: "DELETE", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
			405, metav1.StatusReasonMethodNotAllowed, `the server does not allow this method on the requested resource`,
		},
		{
			"create with a name in the path",
			call{method: "POST", path: maps + "/there", body: jsonMap("there")},
			405, metav1.StatusReasonMethodNotAllowed, `does not allow this method`,
		},
		{
			"create in no namespace",
			call{method: "POST", path: "/api/v1/configmaps", body: jsonMap("there")},
			405, metav1.StatusReasonMethodNotAllowed, `does not allow this method`,
		},
		{
			"get from no namespace",
			call{method: "GET", path: "/api/v1/configmaps/there"},
			404, metav1.StatusReasonNotFound, `could not find the requested resource`,
		},
		{
			"cluster-wide resource in a namespace",
			call{method: "GET", path: "/api/v1/namespaces/shop/nodes"},
			404, metav1.StatusReasonNotFound, `could not find the requested resource`,
		},
		{
			"unknown resource of a known group",
			call{method: "GET", path: "/apis/apps/v1/nothings"},
			404, metav1.StatusReasonNotFound, `could not find the requested resource`,
		},
		{
			"delete precondition",
			call{method: "DELETE", path: maps + "/there", body: `{"preconditions":{"uid":"other"}}`},
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
