package apiserver_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/apiserver/servertest"
)

const (
	pods     = "/api/v1/namespaces/default/pods"
	mergeTyp = "application/merge-patch+json"

	strategicTyp = "application/strategic-merge-patch+json"
)

func podBody(name, extra string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + name + `"` + extra +
		`},"spec":{"containers":[{"name":"c","image":"i"}]}}`
}

func read[T any](t *testing.T, a answer) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return out
}

func TestBinding(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: pods, body: podBody("p", "")})
	binding := call{
		method: "POST", path: pods + "/p/binding",
		body: `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}`,
	}
	if a := must(t, server, binding); a.StatusCode != 201 {
		t.Errorf("bound: %d %s", a.StatusCode, a.body)
	}
	pod := read[corev1.Pod](t, must(t, server, call{method: "GET", path: pods + "/p"}))
	if pod.Spec.NodeName != "n1" || len(pod.Status.Conditions) != 1 || pod.Status.Conditions[0].LastTransitionTime.IsZero() {
		t.Errorf("bound to %+v", pod)
	}
	a := do(t, server, binding)
	if a.StatusCode != 409 || !strings.Contains(a.status.Message, `pod p is already assigned to node "n1"`) {
		t.Errorf("bound twice: %d %s", a.StatusCode, a.body)
	}
	list := read[corev1.PodList](t, must(t, server, call{method: "GET", path: pods + "?fieldSelector=spec.nodeName%3Dn1"}))
	if len(list.Items) != 1 {
		t.Errorf("on n1: %d", len(list.Items))
	}
}

func TestGracefulDeletion(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: pods, body: podBody("p", "")})
	must(t, server, call{
		method: "POST", path: pods + "/p/binding",
		body: `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"name":"n1"}}`,
	})
	pod := read[corev1.Pod](t, must(t, server, call{method: "DELETE", path: pods + "/p"}))
	if pod.DeletionTimestamp == nil || pod.DeletionGracePeriodSeconds == nil || *pod.DeletionGracePeriodSeconds != 30 {
		t.Fatalf("marked as %+v", pod.ObjectMeta)
	}
	must(t, server, call{method: "GET", path: pods + "/p"})
	pod = read[corev1.Pod](t, must(t, server, call{method: "DELETE", path: pods + "/p?gracePeriodSeconds=5"}))
	if *pod.DeletionGracePeriodSeconds != 5 {
		t.Errorf("not shortened: %+v", pod.ObjectMeta)
	}
	must(t, server, call{method: "DELETE", path: pods + "/p", body: `{"gracePeriodSeconds":0}`})
	if a := do(t, server, call{method: "GET", path: pods + "/p"}); a.StatusCode != 404 {
		t.Errorf("still there: %d", a.StatusCode)
	}
}

func TestFinalizers(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	body := strings.Replace(jsonMap("a"), `"name":"a"`, `"name":"a","finalizers":["x.io/y"]`, 1)
	must(t, server, call{method: "POST", path: maps, body: body})
	cm := read[corev1.ConfigMap](t, must(t, server, call{method: "DELETE", path: maps + "/a"}))
	if cm.DeletionTimestamp == nil {
		t.Fatalf("not marked: %+v", cm.ObjectMeta)
	}
	must(t, server, call{
		method: "PATCH", path: maps + "/a", body: `{"metadata":{"finalizers":null}}`, header: header("Content-Type", mergeTyp),
	})
	if a := do(t, server, call{method: "GET", path: maps + "/a"}); a.StatusCode != 404 {
		t.Errorf("still there: %d", a.StatusCode)
	}
}

func TestNamespaceDeletion(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	const path = "/api/v1/namespaces/gone"
	must(t, server, call{method: "POST", path: "/api/v1/namespaces", body: `{"metadata":{"name":"gone"}}`})
	ns := read[corev1.Namespace](t, must(t, server, call{method: "DELETE", path: path}))
	if ns.Status.Phase != corev1.NamespaceTerminating || ns.DeletionTimestamp == nil || len(ns.Spec.Finalizers) != 1 {
		t.Fatalf("deleted as %+v", ns)
	}
	must(t, server, call{method: "DELETE", path: path})
	ns.Spec.Finalizers = nil
	body, err := json.Marshal(&ns)
	if err != nil {
		t.Fatal(err)
	}
	must(t, server, call{method: "PUT", path: path + "/finalize", body: string(body)})
	if a := do(t, server, call{method: "GET", path: path}); a.StatusCode != 404 {
		t.Errorf("still there: %d %s", a.StatusCode, a.body)
	}
}

func TestGeneratedName(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	seen := map[string]bool{}
	for range 3 {
		cm := read[corev1.ConfigMap](t, must(t, server, call{method: "POST", path: maps, body: `{"metadata":{"generateName":"g-"}}`}))
		if !strings.HasPrefix(cm.Name, "g-") || len(cm.Name) != 7 || seen[cm.Name] {
			t.Errorf("named %q", cm.Name)
		}
		seen[cm.Name] = true
	}
}

func TestEviction(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: pods, body: podBody("p", `,"labels":{"app":"x"}`)})
	must(t, server, call{
		method: "POST", path: pods + "/p/binding",
		body: `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"name":"n1"}}`,
	})
	must(t, server, call{
		method: "PATCH", path: pods + "/p/status", header: header("Content-Type", mergeTyp),
		body: `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`,
	})
	const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
	must(t, server, call{
		method: "POST", path: budgets,
		body: `{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"x"}}}}`,
	})
	evict := call{
		method: "POST", path: pods + "/p/eviction",
		body: `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}`,
	}
	a := do(t, server, evict)
	if a.StatusCode != 429 || a.Header.Get("Retry-After") != "10" || len(a.status.Details.Causes) != 1 {
		t.Errorf("with a budget not yet counted: %d %s", a.StatusCode, a.body)
	}
	status := func(allowed string) {
		must(t, server, call{
			method: "PATCH", path: budgets + "/b/status", header: header("Content-Type", mergeTyp),
			body: `{"status":{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1,
				"disruptionsAllowed":` + allowed + `}}`,
		})
	}
	status("0")
	a = do(t, server, evict)
	const cause = "The disruption budget b needs 1 healthy pods and has 1 currently"
	if a.StatusCode != 429 || a.status.Details.Causes[0].Message != cause {
		t.Errorf("with a budget used up: %d %s", a.StatusCode, a.body)
	}
	status("1")
	old := strings.Replace(evict.body, "policy/v1", "policy/v1beta1", 1)
	if a := must(t, server, call{method: "POST", path: evict.path, body: old}); a.StatusCode != 201 {
		t.Errorf("allowed: %d %s", a.StatusCode, a.body)
	}
	pod := read[corev1.Pod](t, must(t, server, call{method: "GET", path: pods + "/p"}))
	if pod.DeletionTimestamp == nil || len(pod.Status.Conditions) == 0 {
		t.Errorf("not evicted: %+v", pod)
	}
	budget := string(must(t, server, call{method: "GET", path: budgets + "/b"}).body)
	if !strings.Contains(budget, `"disruptionsAllowed":0`) || !strings.Contains(budget, `"disruptedPods":{"p":`) {
		t.Errorf("not counted: %s", budget)
	}
}

func TestDeployment(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	const deployments = "/apis/apps/v1/namespaces/default/deployments"
	must(t, server, call{method: "POST", path: deployments, body: `{"metadata":{"name":"d"},"spec":{"replicas":1,
		"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
		"spec":{"containers":[{"name":"c","image":"i"}]}}}}`})
	a := must(t, server, call{
		method: "PATCH", path: deployments + "/d/scale", body: `{"spec":{"replicas":4}}`, header: header("Content-Type", mergeTyp),
	})
	if !strings.Contains(string(a.body), `"kind":"Scale"`) || !strings.Contains(string(a.body), `"replicas":4`) {
		t.Errorf("scaled: %s", a.body)
	}
	got := string(must(t, server, call{method: "GET", path: deployments + "/d"}).body)
	for _, want := range []string{`"generation":2`, `"replicas":4`, `"subresource":"scale"`} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s: %s", want, got)
		}
	}
	a = must(t, server, call{
		method: "PATCH", path: deployments + "/d", header: header("Content-Type", strategicTyp),
		body: `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"j"},{"name":"d","image":"k"}]}}}}`,
	})
	if !strings.Contains(string(a.body), `"image":"j"`) || !strings.Contains(string(a.body), `"image":"k"`) {
		t.Errorf("patched: %s", a.body)
	}
	a = do(t, server, call{
		method: "PATCH", path: deployments + "/d?fieldValidation=Strict", header: header("Content-Type", strategicTyp),
		body: `{"spec":{"repliccas":3}}`,
	})
	if a.StatusCode != 422 || !strings.Contains(a.status.Message, `unknown field "spec.repliccas"`) {
		t.Errorf("a patch of an unknown field: %d %s", a.StatusCode, a.body)
	}
}

func TestVersions(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	const (
		v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
		v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
	)
	must(t, server, call{method: "POST", path: v1, body: `{"metadata":{"name":"h"},"spec":{"maxReplicas":3,
		"targetCPUUtilizationPercentage":50,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}`})
	got := string(must(t, server, call{method: "GET", path: v2 + "/h"}).body)
	if !strings.Contains(got, `"apiVersion":"autoscaling/v2"`) || !strings.Contains(got, `"averageUtilization":50`) {
		t.Errorf("as v2: %s", got)
	}
	must(t, server, call{
		method: "PATCH", path: v2 + "/h?fieldManager=two", body: `{"spec":{"maxReplicas":5}}`, header: header("Content-Type", mergeTyp),
	})
	got = string(must(t, server, call{method: "GET", path: v1 + "/h"}).body)
	for _, want := range []string{
		`"apiVersion":"autoscaling/v1"`, `"maxReplicas":5`, `"targetCPUUtilizationPercentage":50`, `"manager":"two"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("as v1 it lacks %s: %s", want, got)
		}
	}
}

func TestEventsOfBothGroups(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	const events, coreEvents = "/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events"
	must(t, server, call{method: "POST", path: events, body: `{"metadata":{"name":"e"},"eventTime":"2030-01-01T00:00:00.000000Z",
		"reportingController":"x.io/c","reportingInstance":"i","action":"Test","reason":"Tested","type":"Normal","note":"hello",
		"regarding":{"kind":"Pod","namespace":"default","name":"p"}}`})
	got := string(must(t, server, call{method: "GET", path: coreEvents + "/e"}).body)
	if !strings.Contains(got, `"kind":"Event","apiVersion":"v1"`) || !strings.Contains(got, `"message":"hello"`) {
		t.Errorf("in core: %s", got)
	}
	got = string(must(t, server, call{method: "GET", path: events + "?fieldSelector=regarding.name%3Dp"}).body)
	if !strings.Contains(got, `"apiVersion":"events.k8s.io/v1"`) || !strings.Contains(got, `"note":"hello"`) {
		t.Errorf("in events.k8s.io: %s", got)
	}
	if a := do(t, server, call{method: "GET", path: events + "?fieldSelector=involvedObject.name%3Dp"}); a.StatusCode != 400 {
		t.Errorf("core's field name in events.k8s.io: %d", a.StatusCode)
	}
}

func TestApplyScale(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	const deployments = "/apis/apps/v1/namespaces/default/deployments"
	apply := func(path, manager, body string) answer {
		return do(t, server, call{
			method: "PATCH", path: deployments + path + "?fieldManager=" + manager, body: body,
			header: header("Content-Type", "application/apply-patch+yaml"),
		})
	}
	deployment := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":1,
		"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
		"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	if a := apply("/d", "one", deployment); a.StatusCode != 201 {
		t.Fatalf("created: %d %s", a.StatusCode, a.body)
	}
	scale := `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":4}}`
	if a := apply("/d/scale", "two", scale); a.StatusCode != 409 || !strings.Contains(a.status.Message, `conflict with "one"`) {
		t.Errorf("over another's replicas: %d %s", a.StatusCode, a.body)
	}
	a := apply("/d/scale", "two&force=true", scale)
	if a.StatusCode != 200 || !strings.Contains(string(a.body), `"replicas":4`) {
		t.Errorf("by force: %d %s", a.StatusCode, a.body)
	}
}

func TestBindings(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: pods, body: podBody("p", "")})
	must(t, server, call{
		method: "POST", path: "/api/v1/namespaces/default/bindings",
		body: `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}`,
	})
	if pod := read[corev1.Pod](t, must(t, server, call{method: "GET", path: pods + "/p"})); pod.Spec.NodeName != "n1" {
		t.Errorf("bound to %q", pod.Spec.NodeName)
	}
}
