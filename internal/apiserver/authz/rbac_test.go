package authz

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client/clientfake"
)

// load reads the objects of a manifest.
func load(t *testing.T, file string) []api.Object {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []api.Object
	for i, doc := range strings.Split(string(data), "\n---\n") {
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%s, object %d: %v", file, i+1, err)
		}
		objects = append(objects, obj.(api.Object))
	}
	return objects
}

func newTestRBAC(t testing.TB, objects ...api.Object) (*RBAC, *clientfake.Client) {
	t.Helper()
	c := clientfake.New(nil, objects...)
	r, err := NewRBAC(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r, c
}

// call writes attributes as "verb group/resource/sub namespace name", with - for nothing, or "verb /path".
func call(user string, text string, groups ...string) *request.Attributes {
	words := strings.Fields(text)
	a := &request.Attributes{User: request.User{Name: user, Groups: groups}, Verb: words[0]}
	if strings.HasPrefix(words[1], "/") {
		a.Path = words[1]
		return a
	}
	a.IsResource = true
	parts := strings.Split(words[1], "/")
	a.Resource = parts[0]
	if group, resource, ok := strings.Cut(parts[0], ":"); ok {
		a.Group, a.Resource = group, resource
	}
	if len(parts) > 1 {
		a.Subresource = parts[1]
	}
	if len(words) > 2 && words[2] != "-" {
		a.Namespace = words[2]
	}
	if len(words) > 3 {
		a.Name = words[3]
	}
	return a
}

func TestRBACDecisions(t *testing.T) {
	r, _ := newTestRBAC(t, load(t, "testdata/rbac.yaml")...)
	cases := []struct {
		user, groups, call string
		allow              bool
		reason             string
	}{
		{"anna", "", "get pods shop web", true, `RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to User "anna"`},
		{"x", "dev", "list configmaps -", true, `RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "dev"`},
		{"x", "devs", "list configmaps -", false, ""},
		{"anna", "", "watch pods shop", false, `RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found`},
		{"anna", "", "get apps:pods shop", false, ""},
		{"anna", "", "get pods/log shop web", false, ""},
		{"anna", "", "get /metrics", true, ""},
		{"anna", "", "get /metrics/", false, ""},
		{"anna", "", "get /debug/pprof", true, ""},
		{"anna", "", "post /debug/pprof", false, ""},
		{"bert", "", "get pods shop", true, `RBAC: allowed by RoleBinding "readers-here/shop" of ClusterRole "reader" to User "bert"`},
		{"bert", "", "get pods other", false, ""},
		{"bert", "", "get pods -", false, ""},
		{"bert", "", "get /metrics", false, ""},
		{"bert", "", "get secrets shop db", true, ""},
		{"bert", "", "get secrets shop other", false, ""},
		{"bert", "", "list secrets shop", false, ""},
		{"bert", "", "create pods/exec shop web", false, ""}, // pods/* is no wildcard
		{"bert", "", "deletecollection apps:deployments shop", true, ""},
		{"bert", "", "update apps:deployments/status shop d", false, ""},
		{"carl", "", "patch apps:deployments/scale shop d", true, ""},
		{"carl", "", "patch apps:deployments shop d", false, ""},
		{"carl", "", "get pods shop", true, `RBAC: allowed by ClusterRoleBinding "aggregated" of ClusterRole "both" to User "carl"`},
		{"system:serviceaccount:shop:robot", "", "get pods -", true, `to ServiceAccount "robot/shop"`},
		{"system:serviceaccount:shop:local", "", "get secrets shop db", true, `RoleBinding "shoppers/shop" of Role "one-secret" to ServiceAccount "local/shop"`},
		{"system:serviceaccount:other:local", "", "get secrets shop db", false, ""},
		{"dora", "", "get pods shop", false, "not found"},
	}
	for _, c := range cases {
		t.Run(c.user+" "+c.call, func(t *testing.T) {
			decision, reason, err := r.Authorize(context.Background(), call(c.user, c.call, strings.Fields(c.groups)...))
			if err != nil || (decision == Allow) != c.allow || decision == Deny {
				t.Fatalf("decision %v, reason %q, error %v", decision, reason, err)
			}
			if !strings.Contains(reason, c.reason) {
				t.Fatalf("reason %q, want %q", reason, c.reason)
			}
		})
	}
}

func TestRBACFollowsChanges(t *testing.T) {
	r, c := newTestRBAC(t, load(t, "testdata/rbac.yaml")...)
	ask := func(user, text string) bool {
		if err := r.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		d, _, _ := r.Authorize(context.Background(), call(user, text))
		return d == Allow
	}
	if !ask("carl", "patch deployments/scale shop") {
		t.Fatal("aggregated role does not allow")
	}
	c.Remove(rbacResource("clusterroles"), "", "scaler")
	if ask("carl", "patch deployments/scale shop") {
		t.Error("an aggregated role keeps the rules of a deleted one")
	}
	c.Remove(rbacResource("clusterrolebindings"), "", "readers")
	if ask("anna", "get pods shop") {
		t.Error("a deleted binding allows")
	}
	c.Load(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "new"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: "emil"}},
	})
	if !ask("emil", "get pods shop") {
		t.Error("a new binding does not allow")
	}
}

// TestIndexEqualsScan: however bindings come, change and go, the index finds what looking at all of them finds.
func TestIndexEqualsScan(t *testing.T) {
	users := []string{"a", "b", "system:serviceaccount:n:x"}
	groups := []string{"g", "h", "a"}
	rapid.Check(t, func(t *rapid.T) {
		index, all := newSubjectIndex(), map[string]api.Object{}
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for range steps {
			namespace := rapid.SampledFrom([]string{"", "n", "m"}).Draw(t, "namespace")
			name := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "name")
			var subjects []rbacv1.Subject
			for range rapid.IntRange(0, 3).Draw(t, "subjects") {
				subjects = append(subjects, rapid.SampledFrom([]rbacv1.Subject{
					{Kind: "User", Name: "a"},
					{Kind: "User", Name: "b"},
					{Kind: "Group", Name: "g"},
					{Kind: "Group", Name: "a"},
					{Kind: "ServiceAccount", Name: "x"},
					{Kind: "ServiceAccount", Name: "x", Namespace: "n"},
					{Kind: "Robot", Name: "a"},
				}).Draw(t, "subject"))
			}
			var obj api.Object = &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Subjects: subjects}
			if namespace == "" {
				obj = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects}
			}
			key := keyOf(obj)
			if rapid.Bool().Draw(t, "delete") {
				index.set(key, nil)
				delete(all, key.String())
			} else {
				index.set(key, obj)
				all[key.String()] = obj
			}
		}
		user := request.User{Name: rapid.SampledFrom(users).Draw(t, "user"), Groups: rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID[string]).Draw(t, "groups")}
		for _, namespace := range []string{"", "n", "m"} {
			var found []string
			index.visit(&user, namespace, func(b *binding, _ subject) bool {
				if !slices.Contains(found, b.Name) {
					found = append(found, b.Name)
				}
				return true
			})
			var want []string
			for _, obj := range all {
				if obj.GetNamespace() == namespace && concerns(obj, &user) {
					want = append(want, obj.GetName())
				}
			}
			slices.Sort(found)
			slices.Sort(want)
			if !slices.Equal(found, want) {
				t.Fatalf("namespace %q: found %v, want %v", namespace, found, want)
			}
		}
	})
}

func concerns(obj api.Object, u *request.User) bool {
	b := bindingOf(obj)
	return slices.ContainsFunc(b.subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case "User":
			return s.Name == u.Name
		case "Group":
			return u.InGroup(s.Name)
		case "ServiceAccount":
			namespace := s.Namespace
			if namespace == "" {
				namespace = b.Namespace
			}
			return namespace != "" && u.Name == "system:serviceaccount:"+namespace+":"+s.Name
		}
		return false
	})
}

func TestAggregationEndsOnCycles(t *testing.T) {
	aggregated := func(name, of string) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"is": name}},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
				{MatchLabels: map[string]string{"is": of}}, {MatchLabels: map[string]string{"is": "leaf"}},
			}},
		}
	}
	leaf := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "leaf", Labels: map[string]string{"is": "leaf"}},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}}},
	}
	all := []*rbacv1.ClusterRole{aggregated("a", "b"), aggregated("b", "a"), aggregated("self", "self"), leaf}
	for _, role := range all {
		if rules := AggregateRules(role, all); len(rules) != 1 {
			t.Errorf("%s: %v", role.Name, rules)
		}
	}
}

func TestConfirmNoEscalation(t *testing.T) {
	r, _ := newTestRBAC(t, load(t, "testdata/rbac.yaml")...)
	rule := func(verbs, resource string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: strings.Split(verbs, ","), APIGroups: []string{""}, Resources: []string{resource}}
	}
	bert := &request.User{Name: "bert", Groups: []string{"g"}}
	if err := r.ConfirmNoEscalation(bert, "shop", []rbacv1.PolicyRule{rule("get,list", "pods")}); err != nil {
		t.Errorf("what is held cannot be granted: %v", err)
	}
	err := r.ConfirmNoEscalation(bert, "shop", []rbacv1.PolicyRule{rule("get,watch,delete", "pods"), rule("get", "secrets")})
	want := `user "bert" (groups=["g"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}
{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
	if err := r.ConfirmNoEscalation(bert, "", []rbacv1.PolicyRule{rule("get", "pods")}); err == nil {
		t.Error("what is held in a namespace can be granted in the cluster")
	}
}

func TestUnion(t *testing.T) {
	r, _ := newTestRBAC(t)
	u := New(nil, r)
	ask := func(a *request.Attributes) Decision {
		d, _, _ := u.Authorize(context.Background(), a)
		return d
	}
	if ask(call("x", "delete nodes - n", request.GroupMasters)) != Allow {
		t.Error("system:masters may not do everything")
	}
	if ask(call(request.Anonymous, "get /healthz")) != Allow || ask(call(request.Anonymous, "get /healthz/etcd")) == Allow {
		t.Error("health paths")
	}
	if ask(call("x", "get pods a")) != NoOpinion {
		t.Error("allowed without any role")
	}
}
