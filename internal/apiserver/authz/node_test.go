package authz

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client/clientfake"
)

func newTestNode(t testing.TB, objects ...api.Object) (*Node, *clientfake.Client) {
	t.Helper()
	c := clientfake.New(nil, objects...)
	n, err := NewNode(c, []rbacv1.PolicyRule{{
		Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"services"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n, c
}

func TestNodeDecisions(t *testing.T) {
	n, _ := newTestNode(t, load(t, "testdata/nodes.yaml")...)
	const selector = " where "
	cases := []struct {
		call   string
		allow  bool
		reason string
	}{
		{"get secrets shop pull", true, ""},
		{"get secrets shop env-secret", true, ""},
		{"get secrets shop debug-secret", true, ""},
		{"get secrets shop mounted", true, ""},
		{"watch secrets shop projected-secret", true, ""},
		{"list secrets shop - where metadata.name=mounted", true, ""},
		{"list secrets shop", false, "No Object name found"},
		{"list secrets -", false, "can only read namespaced object of this type"},
		{"get secrets shop others", false, "no relationship found between node 'n1' and this object"},
		{"get secrets shop unscheduled", false, "no relationship"},
		{"get secrets shop mirrored", false, "no relationship"},
		{"get secrets other mounted", false, "no relationship"},
		{"update secrets shop mounted", false, "can only read resources of this type"},
		{"get secrets storage stage", true, ""},
		{"get secrets storage controller", false, "no relationship"},
		{"get configmaps shop env", true, ""},
		{"get configmaps shop projected", true, ""},
		{"get configmaps shop mounted", false, "no relationship"},
		{"get persistentvolumeclaims shop data", true, ""},
		{"get persistentvolumeclaims shop web-d", true, ""},
		{"list persistentvolumeclaims shop", false, "can only get individual resources of this type"},
		{"patch persistentvolumeclaims/status shop data", true, ""},
		{"patch persistentvolumeclaims/status shop unused", false, "no relationship"},
		{"get persistentvolumes - pv1", true, ""},
		{"get persistentvolumes - pv2", false, "no relationship"},
		{"get resource.k8s.io:resourceclaims shop gpu-0", true, ""},
		{"get storage.k8s.io:volumeattachments - va1", true, ""},
		{"get storage.k8s.io:volumeattachments - va2", false, "no relationship"},
		{"create serviceaccounts/token shop web", true, ""},
		{"get serviceaccounts shop web", true, ""},
		{"create serviceaccounts/token shop other", false, "no relationship"},
		{"create serviceaccounts shop web", false, "can only create token subresource of serviceaccount"},
		{"get pods shop web", true, ""},
		{"get pods shop elsewhere", false, "no relationship"},
		{"list pods - - where spec.nodeName=n1", true, ""},
		{"list pods - - where spec.nodeName=n1,status.phase=Running", true, ""},
		{"list pods - - where spec.nodeName!=n1", false, "can only list/watch pods with spec.nodeName field selector"},
		{"list pods - - where spec.nodeName=n2", false, "field selector"},
		{"list pods -", false, "field selector"},
		{"create pods shop", true, ""},
		{"patch pods/status shop elsewhere", true, ""}, // admission looks further
		{"create pods/exec shop web", false, ""},
		{"create pods/eviction shop web", true, ""},
		{"get nodes - n1", true, ""},
		{"get nodes - n2", false, "node 'n1' cannot read 'n2', only its own Node object"},
		{"list nodes -", false, "cannot read all nodes"},
		{"watch nodes - - where metadata.name=n1", true, ""},
		{"delete nodes - n1", false, ""},
		{"update coordination.k8s.io:leases kube-node-lease n1", true, ""},
		{"create coordination.k8s.io:leases kube-node-lease", true, ""},
		{"update coordination.k8s.io:leases kube-node-lease n2", false, "same name as the requesting node"},
		{"list coordination.k8s.io:leases kube-node-lease", false, "can only get, create, update, patch, or delete"},
		{"get coordination.k8s.io:leases kube-system n1", false, "kube-node-lease"},
		{"get storage.k8s.io:csinodes - n1", true, ""},
		{"get storage.k8s.io:csinodes - n2", false, "same name"},
		{"delete resource.k8s.io:resourceslices - s1", true, ""},
		{"delete resource.k8s.io:resourceslices - s2", false, "no relationship"},
		{"deletecollection resource.k8s.io:resourceslices - - where spec.nodeName=n1", true, ""},
		{"list resource.k8s.io:resourceslices -", false, "nodeName field selector"},
		{"list services -", true, ""}, // by the rules
		{"create services shop", false, ""},
		{"get /metrics", false, ""},
	}
	for _, c := range cases {
		t.Run(c.call, func(t *testing.T) {
			text, fields, _ := strings.Cut(c.call, selector)
			a := call("system:node:n1", text, request.GroupNodes)
			if a.Name == "-" {
				a.Name = ""
			}
			a.FieldSelector = fields
			d, reason, err := n.Authorize(context.Background(), a)
			if err != nil || (d == Allow) != c.allow || d == Deny || !strings.Contains(reason, c.reason) {
				t.Fatalf("decision %v, reason %q, error %v; want %v %q", d, reason, err, c.allow, c.reason)
			}
		})
	}
}

func TestNodeIdentity(t *testing.T) {
	n, _ := newTestNode(t, load(t, "testdata/nodes.yaml")...)
	for _, c := range []struct {
		name, user string
		groups     []string
		reason     string
	}{
		{"not in the group", "system:node:n1", nil, ""},
		{"not a node's name", "n1", []string{request.GroupNodes}, ""},
		{"no name", "system:node:", []string{request.GroupNodes}, `unknown node for user "system:node:"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, reason, _ := n.Authorize(context.Background(), call(c.user, "get pods shop web", c.groups...))
			if d != NoOpinion || reason != c.reason {
				t.Fatalf("%v %q", d, reason)
			}
		})
	}
}

func TestNodeFollowsPods(t *testing.T) {
	n, c := newTestNode(t, load(t, "testdata/nodes.yaml")...)
	ask := func(text string) bool {
		if err := n.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		d, _, _ := n.Authorize(context.Background(), call("system:node:n1", text, request.GroupNodes))
		return d == Allow
	}
	c.Remove(schema.GroupResource{Resource: "pods"}, "shop", "web")
	for _, text := range []string{"get secrets shop mounted", "get persistentvolumes - pv1", "get secrets storage stage"} {
		if ask(text) {
			t.Errorf("allowed without its pod: %s", text)
		}
	}
	if len(n.graph.users[thing{aSecret, keyOf(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "mounted"}})}]) > 0 {
		t.Error("a count is left behind")
	}
}

// TestGraphEqualsScan: however pods come, move and go, the counts say what looking at all pods says.
func TestGraphEqualsScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, pods := newNodeGraph(), map[string]*corev1.Pod{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "pod")
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}
			pod.Spec.NodeName = rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "node")
			for range rapid.IntRange(0, 2).Draw(t, "secrets") {
				secret := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "secret")
				pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
			}
			if rapid.Bool().Draw(t, "delete") {
				g.setPod(keyOf(pod), nil)
				delete(pods, name)
			} else {
				g.setPod(keyOf(pod), pod)
				pods[name] = pod
			}
		}
		for _, node := range []string{"n1", "n2"} {
			for _, secret := range []string{"x", "y"} {
				want := false
				for _, pod := range pods {
					for _, ref := range pod.Spec.ImagePullSecrets {
						want = want || pod.Spec.NodeName == node && ref.Name == secret
					}
				}
				key := keyOf(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: secret}})
				if got := g.uses(node, thing{aSecret, key}); got != want {
					t.Fatalf("node %s, secret %s: %v, want %v", node, secret, got, want)
				}
			}
		}
		if len(pods) == 0 && (len(g.users) > 0 || len(g.links) > 0) {
			t.Fatalf("left behind: %v %v", g.users, g.links)
		}
	})
}
