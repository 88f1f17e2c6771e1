package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// badRequest is a request that the server must refuse.
type badRequest struct {
	name   string
	method string // GET by default
	path   string // $NS is the test's namespace
	kind   string // Content-Type
	accept string
	body   string
	token  string // instead of the administrator's certificate

	code    int
	reason  metav1.StatusReason
	message []string // words of the message
	fields  []string // of the causes
}

const (
	jsonKind  = "application/json"
	mergeKind = "application/merge-patch+json"
	applyKind = "application/apply-patch+yaml"
)

func badBodies() []badRequest {
	const configMaps, pods = "/api/v1/namespaces/$NS/configmaps", "/api/v1/namespaces/$NS/pods"
	cm := func(meta, more string) string {
		return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{` + meta + `}` + more + `}`
	}
	return []badRequest{
		{
			name: "malformed JSON", method: "POST", path: configMaps, kind: jsonKind, body: `{"apiVersion":"v1",`,
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"must be of type ConfigMap", "json parse error: unexpected end"},
		},
		{
			name: "malformed YAML", method: "POST", path: configMaps, kind: "application/yaml", body: "a: b: c",
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"mapping values are not allowed"},
		},
		{name: "empty body", method: "POST", path: configMaps, kind: jsonKind, code: 400, reason: metav1.StatusReasonBadRequest},
		{
			name: "not protobuf", method: "POST", path: configMaps, kind: "application/vnd.kubernetes.protobuf", body: "k8s?",
			code: 400, reason: metav1.StatusReasonBadRequest,
		},
		{
			name: "wrong type of a field", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"a"`, `,"data":["x"]`),
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"ConfigMap", "cannot unmarshal array", "data"},
		},
		{
			name: "unknown field", method: "POST", path: configMaps + "?fieldValidation=Strict", kind: jsonKind,
			body: cm(`"name":"a"`, `,"dota":{}`),
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{`strict decoding error: unknown field "dota"`},
		},
		{
			name: "field given twice", method: "POST", path: configMaps + "?fieldValidation=Strict", kind: jsonKind,
			body: cm(`"name":"a","name":"b"`, ``),
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{`duplicate field "metadata.name"`},
		},
		{
			name: "another kind", method: "POST", path: configMaps, kind: jsonKind, body: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`,
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"Pod", "ConfigMap"},
		},
		{
			name: "another namespace", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"a","namespace":"other"`, ``),
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"the namespace of the provided object does not match"},
		},
		{
			name: "no name", method: "POST", path: configMaps, kind: jsonKind, body: cm(``, ``),
			code: 422, reason: metav1.StatusReasonInvalid, message: []string{"name or generateName is required"}, fields: []string{"metadata.name"},
		},
		{
			name: "invalid name", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"Not_A_Name"`, ``), code: 422,
			reason: metav1.StatusReasonInvalid, message: []string{`"Not_A_Name"`, "RFC 1123 subdomain"}, fields: []string{"metadata.name"},
		},
		{
			name: "invalid label", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"a","labels":{"a b":"c"}`, ``),
			code: 422, reason: metav1.StatusReasonInvalid, fields: []string{"metadata.labels"},
		},
		{
			name: "invalid pod", method: "POST", path: pods, kind: jsonKind,
			body: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"restartPolicy":"Sometimes","containers":[{"name":"A"}]}}`,
			code: 422, reason: metav1.StatusReasonInvalid, message: []string{`Pod "a" is invalid`, `Unsupported value: "Sometimes"`},
			fields: []string{"spec.restartPolicy", "spec.containers[0].name", "spec.containers[0].image"},
		},
		{
			name: "exists", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"there"`, ``),
			code: 409, reason: metav1.StatusReasonAlreadyExists, message: []string{`configmaps "there" already exists`},
		},
		{
			name: "conflicting update", method: "PUT", path: configMaps + "/there", kind: jsonKind,
			body: cm(`"name":"there","resourceVersion":"1"`, ``), code: 409, reason: metav1.StatusReasonConflict,
			message: []string{"the object has been modified; please apply your changes to the latest version and try again"},
		},
		{
			name: "name in path and body differ", method: "PUT", path: configMaps + "/there", kind: jsonKind, body: cm(`"name":"here"`, ``),
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"here", "there"},
		},
		{
			name: "wrong UID on delete", method: "DELETE", path: configMaps + "/there", kind: jsonKind,
			body: `{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"other"}}`,
			code: 409, reason: metav1.StatusReasonConflict, message: []string{"the UID in the precondition (other) does not match the UID in record"},
		},
		{
			name: "too big", method: "POST", path: configMaps, kind: jsonKind, body: cm(`"name":"a"`, `,"data":{"a":"`+strings.Repeat("x", 3<<20+1)+`"}`),
			code: 413, reason: metav1.StatusReasonRequestEntityTooLarge, message: []string{"limit is 3145728"},
		},
		{
			name: "too big for a ConfigMap", method: "POST", path: configMaps, kind: jsonKind,
			body: cm(`"name":"a"`, `,"data":{"a":"`+strings.Repeat("x", 1<<20+1)+`"}`), code: 422, reason: metav1.StatusReasonInvalid,
			message: []string{"Too long: may not be more than 1048576 bytes"},
		},
	}
}

func badPatches() []badRequest {
	const there = "/api/v1/namespaces/$NS/configmaps/there"
	return []badRequest{
		{
			name: "unknown kind of patch", method: "PATCH", path: there, kind: "application/x-patch", body: `{}`,
			code: 415, reason: metav1.StatusReasonUnsupportedMediaType, message: []string{"in an unknown format", mergeKind, applyKind},
		},
		{name: "malformed patch", method: "PATCH", path: there, kind: mergeKind, body: `{`, code: 400, reason: metav1.StatusReasonBadRequest},
		{
			name: "patch of the name", method: "PATCH", path: there, kind: mergeKind, body: `{"metadata":{"name":"b"}}`, code: 400,
			reason: metav1.StatusReasonBadRequest, message: []string{"does not match the name on the URL"},
		},
		{
			name: "patch of the UID", method: "PATCH", path: there, kind: mergeKind, body: `{"metadata":{"uid":"b"}}`,
			code: 422, reason: metav1.StatusReasonInvalid, message: []string{"field is immutable"}, fields: []string{"metadata.uid"},
		},
		{
			name: "patch of nothing", method: "PATCH", path: there + "not", kind: mergeKind, body: `{}`,
			code: 404, reason: metav1.StatusReasonNotFound, message: []string{`configmaps "therenot" not found`},
		},
		{
			name: "apply without a manager", method: "PATCH", path: there, kind: applyKind, body: `{"apiVersion":"v1","kind":"ConfigMap"}`,
			code: 422, reason: metav1.StatusReasonInvalid, message: []string{"is required for apply patch"}, fields: []string{"fieldManager"},
		},
		{
			name: "apply of an unknown field", method: "PATCH", path: there + "?fieldManager=m", kind: applyKind,
			body: `{"apiVersion":"v1","kind":"ConfigMap","dota":{}}`, code: 500, message: []string{".dota: field not declared in schema"},
		},
	}
}

func badReads() []badRequest {
	const configMaps = "/api/v1/namespaces/$NS/configmaps"
	return []badRequest{
		{
			name: "wrong content type", method: "POST", path: configMaps, kind: "text/plain", body: "hello",
			code: 415, reason: metav1.StatusReasonUnsupportedMediaType, message: []string{jsonKind, "application/vnd.kubernetes.protobuf"},
		},
		{
			name: "nothing acceptable", path: configMaps, accept: "image/png",
			code: 406, reason: metav1.StatusReasonNotAcceptable, message: []string{"only the following media types are accepted", jsonKind},
		},
		{name: "unknown path", path: "/nothing", code: 404},
		{
			name: "unknown resource", path: "/api/v1/namespaces/$NS/nothings", code: 404, reason: metav1.StatusReasonNotFound,
			message: []string{"the server could not find the requested resource"},
		},
		{name: "unknown group", path: "/apis/nothing.example/v1/things", code: 404},
		{
			name: "missing object", path: configMaps + "/nothing", code: 404, reason: metav1.StatusReasonNotFound,
			message: []string{`configmaps "nothing" not found`},
		},
		{
			name: "method that a resource lacks", method: "POST", path: configMaps + "/there", kind: jsonKind, body: "{}",
			code: 405, reason: metav1.StatusReasonMethodNotAllowed,
		},
		{
			name: "watch from nonsense", path: configMaps + "?watch=1&resourceVersion=yesterday",
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{`invalid resource version`, "yesterday"},
		},
		{name: "list of nonsense", path: configMaps + "?resourceVersion=yesterday&resourceVersionMatch=Exact", code: 400, reason: metav1.StatusReasonBadRequest},
		{
			name: "unknown match", path: configMaps + "?resourceVersion=1&resourceVersionMatch=Roughly",
			code: 422, reason: metav1.StatusReasonInvalid, fields: []string{"resourceVersionMatch"},
		},
		{name: "bad label selector", path: configMaps + "?labelSelector=a%3D%3D%3Db", code: 400, reason: metav1.StatusReasonBadRequest},
		{
			name: "unknown field selector", path: configMaps + "?fieldSelector=data.a%3Db",
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"field label not supported: data.a"},
		},
		{
			name: "nonsense to go on from", path: configMaps + "?limit=1&continue=nonsense",
			code: 400, reason: metav1.StatusReasonBadRequest, message: []string{"continue key is not valid"},
		},
		{
			name: "version from the future", path: configMaps + "?resourceVersion=1000000000&resourceVersionMatch=Exact",
			code: 504, reason: metav1.StatusReasonTimeout, message: []string{"Too large resource version"},
		},
		{name: "bad token", path: configMaps, token: "nobody", code: 401, reason: metav1.StatusReasonUnauthorized, message: []string{"Unauthorized"}},
		{name: "forged token", path: configMaps, token: forged(), code: 401, reason: metav1.StatusReasonUnauthorized},
	}
}

// forged is a token that says what a true one says and is signed by nobody.
func forged() string {
	part := func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }
	return part(`{"alg":"none"}`) + "." + part(`{"iss":"https://kubernetes.default.svc.cluster.local","sub":"system:serviceaccount:kube-system:default"}`) + "."
}

// TestBadRequests sends what must be refused, and reads the refusals.
func TestBadRequests(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.kubectl("create", "configmap", "there", "--from-literal=a=b")
	request := &authenticationv1.TokenRequest{}
	plain, err := s.CoreV1().ServiceAccounts(s.ns).CreateToken(s.ctx, "default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const forbidden = `User "system:serviceaccount:$NS:default" cannot `
	tests := slices.Concat(badBodies(), badPatches(), badReads(), []badRequest{
		{
			name: "a plain account reads", path: "/api/v1/namespaces/$NS/secrets", token: plain.Status.Token, code: 403,
			reason: metav1.StatusReasonForbidden, message: []string{forbidden + `list resource "secrets" in API group "" in the namespace "$NS"`},
		},
		{
			name: "a plain account writes", method: "POST", path: "/api/v1/nodes", kind: jsonKind, token: plain.Status.Token, code: 403,
			body:   `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}`,
			reason: metav1.StatusReasonForbidden, message: []string{forbidden + `create resource "nodes" in API group "" at the cluster scope`},
		},
		{
			name: "a plain account looks behind", path: "/metrics", token: plain.Status.Token,
			code: 403, reason: metav1.StatusReasonForbidden, message: []string{forbidden + `get path "/metrics"`},
		},
	})
	for _, test := range tests {
		s.part(test.name, func(s *space) { s.bad(test) })
	}
}

// bad sends a request and compares the answer.
func (s *space) bad(test badRequest) {
	s.Helper()
	code, body := s.send(s.ctx, test)
	if code != test.code {
		s.Fatalf("the code is %d, want %d: %s", code, test.code, body)
	}
	if test.reason == "" && test.message == nil {
		return // Upstream's answer is no Status.
	}
	var status metav1.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "Status" || status.Status != metav1.StatusFailure {
		s.Fatalf("no status: %s (%v)", body, err)
	}
	if status.Reason != test.reason || int(status.Code) != test.code {
		s.Errorf("the reason is %q, the code %d: %s", status.Reason, status.Code, body)
	}
	for _, word := range test.message {
		s.holds(status.Message, strings.ReplaceAll(word, "$NS", s.ns))
	}
	var fields []string
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			fields = append(fields, cause.Field)
		}
	}
	for _, field := range test.fields {
		if !slices.Contains(fields, field) {
			s.Errorf("no cause names %s: %s", field, body)
		}
	}
}

// send sends a request and returns the answer's code and body.
func (s *space) send(ctx context.Context, r badRequest) (int, string) {
	s.Helper()
	config := rest.CopyConfig(s.config)
	if r.token != "" {
		config = rest.AnonymousClientConfig(config)
		config.BearerToken = r.token
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		s.Fatal(err)
	}
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	url := config.Host + strings.ReplaceAll(r.path, "$NS", s.ns)
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(r.body))
	if err != nil {
		s.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": r.kind, "Accept": r.accept} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestExpired holds on to an old version until the server forgets it.
func TestExpired(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	for n := range 3 {
		s.kubectl("create", "configmap", fmt.Sprint("one-of-", n))
	}
	list, err := s.CoreV1().ConfigMaps(s.ns).List(s.ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/namespaces/$NS/configmaps?limit=1&continue=" + list.Continue
	code, body := s.send(s.ctx, badRequest{path: path})
	if code != http.StatusOK {
		t.Fatalf("a fresh token is refused: %d %s", code, body)
	}
	// When history is compacted is the server's affair, and it tells nobody.
	err = wait.PollUntilContextTimeout(s.ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		code, _ := s.send(ctx, badRequest{path: path})
		return code == http.StatusGone, nil
	})
	if err != nil {
		t.Fatalf("waiting for the token to expire: %v", err)
	}
	s.bad(badRequest{path: path, code: 410, reason: metav1.StatusReasonExpired, message: []string{"The provided continue parameter is too old"}})
	s.bad(badRequest{
		path: "/api/v1/namespaces/$NS/configmaps?resourceVersionMatch=Exact&resourceVersion=" + list.ResourceVersion,
		code: 410, reason: metav1.StatusReasonExpired,
	})
	// The refusal holds a token that goes on from there, without the promise of one moment.
	var status metav1.Status
	_, body = s.send(s.ctx, badRequest{path: path})
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Continue == "" {
		t.Fatalf("no token to go on with: %s", body)
	}
	rest, err := s.CoreV1().ConfigMaps(s.ns).List(s.ctx, metav1.ListOptions{Continue: status.Continue})
	if err != nil || len(rest.Items) != 3 { // Three of four: kube-root-ca.crt is there too.
		t.Errorf("the rest is %d objects, error %v", len(rest.Items), err)
	}
}
