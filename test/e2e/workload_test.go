package e2e

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWorkload walks a Deployment through its life with kubectl.
func TestWorkload(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("web.yaml", "APP=web", "REPLICAS=3", "TOLERATED=300")
	s.apply("pod.yaml", "POD=client", "NODE=node-1", `ARGS=["wait"]`)
	s.holds(s.kubectl("rollout", "status", "deployment/web", "--timeout=90s"), "successfully rolled out")
	s.running("client", 1)
	const url = "http://web/"

	s.part("the pods are spread and answer", func(s *space) {
		nodes := map[string]bool{}
		for _, pod := range s.running("web", 3) {
			nodes[pod.Spec.NodeName] = true
			s.tool("client", "until", pod.Name+" one", url)
		}
		if len(nodes) != 3 {
			s.Errorf("the pods are on %v", nodes)
		}
	})
	s.part("scale", func(s *space) {
		s.kubectl("scale", "deployment/web", "--replicas=5")
		s.running("web", 5)
		s.kubectl("scale", "deployment/web", "--replicas=2", "--current-replicas=5")
		s.running("web", 2)
		s.refused("", []string{"scale", "deployment/web", "--replicas=9", "--current-replicas=5"}, "Expected replicas to be 5, was 2")
	})
	s.part("rolling update, history and undo", func(s *space) {
		s.kubectl("set", "env", "deployment/web", "VERSION=two")
		s.kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=the second version")
		s.holds(s.kubectl("rollout", "status", "deployment/web", "--timeout=90s"), "successfully rolled out")
		s.running("web", 2)
		s.tool("client", "without", " one", "20", url)
		s.tool("client", "until", " two", url)
		s.holds(s.kubectl("rollout", "history", "deployment/web"), "1         <none>", "2         the second version")
		s.holds(s.kubectl("rollout", "history", "deployment/web", "--revision=1"), "VERSION:\tone")
		s.kubectl("rollout", "undo", "deployment/web")
		s.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		s.running("web", 2)
		s.tool("client", "without", " two", "20", url)
		s.holds(s.kubectl("rollout", "history", "deployment/web"), "3         ")
	})
	s.part("pause and restart", func(s *space) {
		s.kubectl("rollout", "pause", "deployment/web")
		s.refused("", []string{"rollout", "restart", "deployment/web"}, "paused")
		s.kubectl("rollout", "resume", "deployment/web")
		old := s.running("web", 2)
		s.kubectl("rollout", "restart", "deployment/web")
		s.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		for _, pod := range s.running("web", 2) {
			if pod.UID == old[0].UID || pod.UID == old[1].UID {
				s.Errorf("the pod %s was not replaced", pod.Name)
			}
		}
	})
	s.part("the events tell the story", func(s *space) {
		s.holds(s.kubectl("events", "--for", "deployment/web"), "ScalingReplicaSet", "Scaled up replica set")
		s.holds(s.kubectl("describe", "deployment/web"), "NewReplicaSet:", "RollingUpdate", "ScalingReplicaSet")
	})
	s.part("delete in the foreground", func(s *space) {
		s.kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=90s")
		// The command returns when the Deployment is gone, and that goes last.
		if left := s.kubectl("get", "replicasets,pods", "-l", "app=web", "-o", "name"); left != "" {
			s.Errorf("there are still %s", left)
		}
	})
}

func TestOrphans(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("web.yaml", "APP=web", "REPLICAS=2", "TOLERATED=300")
	pods := s.running("web", 2)
	s.kubectl("delete", "deployment/web", "--cascade=orphan", "--timeout=90s")
	until(s, "a replica set without an owner", s.AppsV1().RESTClient(), "replicasets", func(list []*appsv1.ReplicaSet) bool {
		return len(list) == 1 && len(list[0].OwnerReferences) == 0 && list[0].DeletionTimestamp == nil
	})
	// A Deployment with the same selector adopts what it finds instead of making new pods.
	s.apply("web.yaml", "APP=web", "REPLICAS=2", "TOLERATED=300")
	s.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	until(s, "the adoption of the replica set", s.AppsV1().RESTClient(), "replicasets", func(list []*appsv1.ReplicaSet) bool {
		return len(list) == 1 && len(list[0].OwnerReferences) == 1
	})
	for i, pod := range s.running("web", 2) {
		if pod.UID != pods[0].UID && pod.UID != pods[1].UID {
			s.Errorf("the pod %d is new: %s", i, pod.Name)
		}
	}
	s.kubectl("delete", "deployment/web", "--cascade=background", "--timeout=90s")
	s.pods("no pods", "web", func(list []*corev1.Pod) bool { return len(list) == 0 })
}

func TestApply(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	const config = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"config"},"data":{"a":"1"%s}}`
	with := func(more string) string { return strings.Replace(config, "%s", more, 1) }

	s.part("client side", func(s *space) {
		s.holds(s.feed(with(""), "apply", "-f", "-"), "configmap/config created")
		s.holds(s.feed(with(""), "apply", "-f", "-"), "configmap/config unchanged")
		s.holds(s.feed(with(`,"b":"2"`), "apply", "-f", "-"), "configmap/config configured")
		s.feed(with(""), "apply", "-f", "-")
		if got := s.kubectl("get", "configmap/config", "-o", "jsonpath={.data}"); got != `{"a":"1"}` {
			s.Errorf("a key that is no longer applied stays: %s", got)
		}
	})
	s.part("diff", func(s *space) {
		if r := s.run(s.ctx, with(""), "diff", "-f", "-"); r.code != 0 {
			s.Errorf("a difference where there is none: %v", r)
		}
		r := s.run(s.ctx, with(`,"b":"2"`), "diff", "-f", "-")
		if r.code != 1 {
			s.Errorf("want exit code 1: %v", r)
		}
		s.holds(r.out, `+  b: "2"`)
	})
	s.part("server side", func(s *space) {
		const mine = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"},"data":{"a":"%s"}}`
		value := func(v string) string { return strings.Replace(mine, "%s", v, 1) }
		s.feed(value("1"), "apply", "--server-side", "--field-manager=first", "-f", "-")
		s.feed(value("1"), "apply", "--server-side", "--field-manager=second", "-f", "-")
		s.refused(value("2"), []string{"apply", "--server-side", "--field-manager=second", "-f", "-"},
			`conflict with "first"`, ".data.a")
		s.feed(value("2"), "apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-")
		if got := s.kubectl("get", "configmap/shared", "-o", "jsonpath={.data.a}"); got != "2" {
			s.Errorf("the forced value is %q", got)
		}
		// What nobody else manages goes when its manager no longer applies it.
		const empty = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"}}`
		s.feed(empty, "apply", "--server-side", "--field-manager=second", "-f", "-")
		if got := s.kubectl("get", "configmap/shared", "-o", "jsonpath={.data}"); got != "" {
			s.Errorf("a value without a manager stays: %s", got)
		}
	})
	s.part("strict validation names the field", func(s *space) {
		bad := s.manifest("web.yaml", "APP=web", "REPLICAS=1", "TOLERATED=300")
		bad = strings.Replace(bad, "replicas: 1", "replicaz: 1", 1)
		s.refused(bad, []string{"apply", "--validate=strict", "-f", "-"}, `unknown field "spec.replicaz"`)
		s.refused(bad, []string{"apply", "--server-side", "-f", "-"}, "replicaz")
		r := s.run(s.ctx, bad, "apply", "--validate=warn", "--dry-run=server", "-f", "-")
		s.holds(r.err, `unknown field "spec.replicaz"`)
		if r.code != 0 {
			s.Errorf("a warning fails: %v", r)
		}
	})
	s.part("explain", func(s *space) {
		s.holds(s.kubectl("explain", "deployment.spec.strategy.rollingUpdate.maxSurge"), "maxSurge", "IntOrString", "pods")
		s.holds(s.kubectl("explain", "service.spec.ports", "--recursive"), "targetPort", "nodePort")
	})
	s.part("dry run", func(s *space) {
		s.feed(with(""), "delete", "--dry-run=server", "-f", "-")
		s.kubectl("create", "configmap", "not-made", "--dry-run=server")
		s.refused("", []string{"get", "configmap/not-made"}, `configmaps "not-made" not found`)
	})
}

func TestPatch(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("web.yaml", "APP=web", "REPLICAS=0", "TOLERATED=300")
	env := "jsonpath={.spec.template.spec.containers[*].env[*].name}"
	get := func(what string) string { return s.kubectl("get", "deployment/web", "-o", what) }
	for _, test := range []struct{ name, kind, patch, look, want string }{
		{
			"strategic adds to a list by its key", "strategic",
			`{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"MORE","value":"x"}]}]}}}}`, env, "MORE VERSION",
		},
		{
			"strategic deletes from a list", "strategic",
			`{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"MORE","$patch":"delete"}]}]}}}}`, env, "VERSION",
		},
		{
			"merge sets and removes", "merge",
			`{"metadata":{"labels":{"tier":"front"}},"spec":{"revisionHistoryLimit":3}}`,
			"jsonpath={.metadata.labels.tier} {.spec.revisionHistoryLimit}", "front 3",
		},
		{
			"merge replaces lists", "merge",
			`{"spec":{"template":{"spec":{"tolerations":null}}}}`, "jsonpath={.spec.template.spec.tolerations}", "",
		},
		{
			"json", "json",
			`[{"op":"test","path":"/metadata/labels/tier","value":"front"},{"op":"replace","path":"/spec/revisionHistoryLimit","value":4}]`,
			"jsonpath={.spec.revisionHistoryLimit}", "4",
		},
	} {
		s.part(test.name, func(s *space) {
			s.kubectl("patch", "deployment/web", "--type="+test.kind, "-p", test.patch)
			if got := get(test.look); got != test.want {
				s.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	s.part("json whose test fails", func(s *space) {
		s.refused("", []string{
			"patch", "deployment/web", "--type=json", "-p",
			`[{"op":"test","path":"/metadata/labels/tier","value":"back"},{"op":"remove","path":"/metadata/labels/tier"}]`,
		},
			"The request is invalid")
		if get("jsonpath={.metadata.labels.tier}") != "front" {
			s.Error("the refused patch changed the object")
		}
	})
	s.part("subresources", func(s *space) {
		s.kubectl("patch", "deployment/web", "--subresource=scale", "--type=merge", "-p", `{"spec":{"replicas":1}}`)
		if got := get("jsonpath={.spec.replicas}"); got != "1" {
			s.Errorf("replicas is %q", got)
		}
		s.kubectl("patch", "deployment/web", "--type=merge", "-p", `{"status":{"observedGeneration":99}}`)
		if get("jsonpath={.status.observedGeneration}") == "99" {
			s.Error("a patch of the object changed its status")
		}
	})
	s.part("an invalid result is refused", func(s *space) {
		s.refused("", []string{"patch", "deployment/web", "--type=merge", "-p", `{"spec":{"replicas":-1}}`}, "spec.replicas", "-1")
		s.refused("", []string{"patch", "deployment/web", "--type=merge", "-p", `{"spec":{"selector":{"matchLabels":{"app":"b"}}}}`},
			"spec.selector", "immutable")
	})
}

// TestNamespace deletes a namespace that is full, and all goes with it.
func TestNamespace(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	const name = "full-namespace"
	s.kubectl("create", "namespace", name)
	s.feed(s.manifest("web.yaml", "APP=web", "REPLICAS=1", "TOLERATED=300"), "apply", "--namespace", name, "-f", "-")
	s.kubectl("rollout", "status", "--namespace", name, "deployment/web", "--timeout=90s")
	s.kubectl("delete", "namespace", name, "--timeout=90s")
	list, err := s.CoreV1().Pods(name).List(s.ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) > 0 {
		s.Errorf("pods are left: %v, error %v", list.Items, err)
	}
}
