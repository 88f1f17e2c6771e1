package bootstrap

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
)

func config() Config {
	return Config{
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		ServiceIP:    netip.MustParseAddr("10.43.0.1"),
		Servers:      []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6443")},
		URL:          "https://192.0.2.1:6443",
		ServingCA:    []byte("-----BEGIN CERTIFICATE-----\nc2VydmluZw==\n-----END CERTIFICATE-----\n"),
		ClientCA:     []byte("-----BEGIN CERTIFICATE-----\nY2xpZW50\n-----END CERTIFICATE-----\n"),
		FrontProxyCA: []byte("-----BEGIN CERTIFICATE-----\nZnJvbnQ=\n-----END CERTIFICATE-----\n"),
	}
}

func get[T api.Object](t *testing.T, c *clientfake.Client, group, plural, namespace, name string) T {
	t.Helper()
	obj, err := client.Get[T](context.Background(), c, schema.GroupResource{Group: group, Resource: plural}, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func run(t *testing.T, c *clientfake.Client, cfg Config) []client.Write {
	t.Helper()
	c.ResetWrites()
	if err := Run(context.Background(), c, cfg); err != nil {
		t.Fatal(err)
	}
	return c.Writes()
}

func TestRunMakesWhatIsMissingOnce(t *testing.T) {
	c := clientfake.New(nil)
	if first := run(t, c, config()); len(first) < 90 {
		t.Errorf("only %d writes", len(first))
	}
	for _, w := range run(t, c, config()) {
		t.Errorf("written again: %s %s %s", w.Verb, w.Resource, w.Name)
	}
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		get[*corev1.Namespace](t, c, "", "namespaces", "", name)
	}
	s := get[*corev1.Service](t, c, "", "services", "default", "kubernetes")
	if s.Spec.ClusterIP != "10.43.0.1" || s.Spec.Ports[0].Port != 443 || s.Spec.Ports[0].TargetPort.IntVal != 6443 {
		t.Errorf("service %+v", s.Spec)
	}
	slice := get[*discoveryv1.EndpointSlice](t, c, "discovery.k8s.io", "endpointslices", "default", "kubernetes")
	if slice.AddressType != "IPv4" || slice.Endpoints[0].Addresses[0] != "192.0.2.1" || *slice.Ports[0].Port != 6443 {
		t.Errorf("slice %+v", slice)
	}
	cidr := get[*networkingv1.ServiceCIDR](t, c, "networking.k8s.io", "servicecidrs", "", "kubernetes")
	if !apimeta.IsStatusConditionTrue(cidr.Status.Conditions, "Ready") || cidr.Spec.CIDRs[0] != "10.43.0.0/16" {
		t.Errorf("service CIDR %+v", cidr)
	}
	info := get[*corev1.ConfigMap](t, c, "", "configmaps", "kube-public", "cluster-info")
	if !strings.Contains(info.Data["kubeconfig"], "server: https://192.0.2.1:6443") {
		t.Errorf("cluster-info %v", info.Data)
	}
}

func TestRunRepairsRolesAndKeepsChanges(t *testing.T) {
	c := clientfake.New(nil)
	run(t, c, config())
	change := func(name string, f func(*rbacv1.ClusterRole)) {
		role := get[*rbacv1.ClusterRole](t, c, rbacv1.GroupName, "clusterroles", "", name).DeepCopy()
		f(role)
		c.Load(role)
	}
	extra := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"x"}, Resources: []string{"y"}}
	change("system:discovery", func(r *rbacv1.ClusterRole) { r.Rules = []rbacv1.PolicyRule{extra} })
	change("system:basic-user", func(r *rbacv1.ClusterRole) {
		r.Rules = nil
		r.Annotations[rbacv1.AutoUpdateAnnotationKey] = "false"
	})
	binding := get[*rbacv1.ClusterRoleBinding](t, c, rbacv1.GroupName, "clusterrolebindings", "", "cluster-admin").DeepCopy()
	binding.Subjects = []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jane"}}
	c.Load(binding)
	if writes := run(t, c, config()); len(writes) != 2 {
		t.Errorf("%d writes", len(writes))
	}
	role := get[*rbacv1.ClusterRole](t, c, rbacv1.GroupName, "clusterroles", "", "system:discovery")
	if len(role.Rules) < 2 || role.Rules[0].APIGroups[0] != "x" {
		t.Errorf("rules %v", role.Rules)
	}
	if role := get[*rbacv1.ClusterRole](t, c, rbacv1.GroupName, "clusterroles", "", "system:basic-user"); len(role.Rules) > 0 {
		t.Error("a role that may not be updated was")
	}
	binding = get[*rbacv1.ClusterRoleBinding](t, c, rbacv1.GroupName, "clusterrolebindings", "", "cluster-admin")
	if len(binding.Subjects) != 2 {
		t.Errorf("subjects %v", binding.Subjects)
	}
}

func TestServersAndAuthoritiesAreKeptUpToDate(t *testing.T) {
	c := clientfake.New(nil)
	run(t, c, config())
	cfg := config()
	cfg.Servers = append(cfg.Servers, netip.MustParseAddrPort("192.0.2.2:6443"))
	cfg.ClientCA = []byte("-----BEGIN CERTIFICATE-----\nbmV3\n-----END CERTIFICATE-----\n")
	run(t, c, cfg)
	endpoints := get[*corev1.Endpoints](t, c, "", "endpoints", "default", "kubernetes") //nolint:staticcheck // still served
	if len(endpoints.Subsets[0].Addresses) != 2 {
		t.Errorf("endpoints %+v", endpoints.Subsets)
	}
	info := get[*corev1.ConfigMap](t, c, "", "configmaps", "kube-system", "extension-apiserver-authentication")
	if bundle := info.Data["client-ca-file"]; strings.Count(bundle, "BEGIN CERTIFICATE") != 2 {
		t.Errorf("bundle:\n%s", bundle)
	}
	if got := info.Data["requestheader-username-headers"]; got != `["X-Remote-User"]` {
		t.Errorf("headers %s", got)
	}
}

// TestDefaultPolicy asks the default roles what people and components rely on, and what must stay forbidden.
func TestDefaultPolicy(t *testing.T) {
	p, err := DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	var all []api.Object
	for _, list := range [][]api.Object{objects(p.ClusterRoles), objects(p.ClusterRoleBindings), objects(p.Roles), objects(p.RoleBindings)} {
		all = append(all, list...)
	}
	for _, role := range []string{"admin", "edit", "view"} {
		all = append(all, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: role}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: role}},
		})
	}
	r, err := authz.NewRBAC(clientfake.New(nil, all...))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	known := []string{request.GroupAuthenticated}
	cases := []struct {
		user   string
		groups []string
		call   string
		want   bool
	}{
		{"x", []string{request.GroupMasters}, "delete nodes - n", true},
		{"x", known, "get /apis/apps", true},
		{"x", known, "get /metrics", false},
		{"x", known, "create authorization.k8s.io:selfsubjectaccessreviews", true},
		{"x", known, "list pods", false},
		{"x", []string{request.GroupUnauthenticated}, "get /version", true},
		{"x", []string{request.GroupUnauthenticated}, "get /api", false},
		{"x", []string{"system:monitoring"}, "get /metrics", true},
		{"admin", nil, "create rbac.authorization.k8s.io:rolebindings shop", true},
		{"admin", nil, "create rbac.authorization.k8s.io:clusterroles", false},
		{"admin", nil, "update resourcequotas shop", false},
		{"admin", nil, "create pods/exec shop p", true},
		{"edit", nil, "create apps:deployments shop", true},
		{"edit", nil, "create rbac.authorization.k8s.io:rolebindings shop", false},
		{"edit", nil, "get secrets shop s", true},
		{"edit", nil, "create serviceaccounts/token shop a", true},
		{"edit", nil, "create apps:deployments other", false},
		{"view", nil, "get pods/log shop p", true},
		{"view", nil, "get secrets shop s", false},
		{"view", nil, "create pods/exec shop p", false},
		{"view", nil, "delete pods shop p", false},
		{"system:kube-scheduler", nil, "create pods/binding shop p", true},
		{"system:kube-scheduler", nil, "update persistentvolumeclaims shop c", true},
		{"system:kube-controller-manager", nil, "watch example.com:things", true},
		{"system:kube-controller-manager", nil, "delete pods shop p", false},
		{"system:bootstrap:abcdef", []string{"system:bootstrappers"}, "create certificates.k8s.io:certificatesigningrequests", true},
		{"system:bootstrap:abcdef", []string{"system:bootstrappers"}, "create certificates.k8s.io:certificatesigningrequests/nodeclient", true},
		{"system:bootstrap:abcdef", []string{"system:bootstrappers"}, "create nodes", false},
		{"system:anonymous", nil, "get configmaps kube-public cluster-info", true},
		{"system:anonymous", nil, "list configmaps kube-public", false},
		{"system:node:n1", []string{request.GroupNodes}, "list discovery.k8s.io:endpointslices", true},
		{"system:node:n1", []string{request.GroupNodes}, "list pods", false},
		{"system:node:n1", []string{request.GroupNodes}, "get secrets shop s", false},
		{"system:serviceaccount:a:b", []string{request.GroupServiceAccounts}, "get /openid/v1/jwks", true},
	}
	for _, c := range cases {
		t.Run(c.user+" "+c.call, func(t *testing.T) {
			decision, reason, _ := r.Authorize(context.Background(), attributes(c.user, c.groups, c.call))
			if (decision == authz.Allow) != c.want {
				t.Errorf("decision %v: %s", decision, reason)
			}
		})
	}
}

func attributes(user string, groups []string, call string) *request.Attributes {
	words := append(strings.Fields(call), "", "")
	a := &request.Attributes{User: request.User{Name: user, Groups: groups}, Verb: words[0], Path: words[1]}
	if strings.HasPrefix(words[1], "/") {
		return a
	}
	a.IsResource, a.Namespace, a.Name = true, strings.Trim(words[2], "-"), words[3]
	resource, sub, _ := strings.Cut(words[1], "/")
	a.Subresource = sub
	a.Group, a.Resource, _ = strings.Cut(resource, ":")
	if a.Resource == "" {
		a.Group, a.Resource = "", resource
	}
	return a
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, text := range []string{
		"clusterrole", "clusterrole a b=c", "  get core: pods", "clusterrole a\n  get pods", "bind a b robot:x", "nonsense a b c",
	} {
		if _, err := parsePolicy(text); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

// FuzzParsePolicy: no text makes the parser panic, and what it accepts has verbs and targets in every rule.
func FuzzParsePolicy(f *testing.F) {
	f.Add(policyText)
	f.Add("clusterrole a in=b of=c\n  get url: /x\n  events")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy(text)
		if err != nil {
			return
		}
		for _, role := range p.ClusterRoles {
			if slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
				return len(r.Verbs) == 0 || len(r.APIGroups) == 0 && len(r.NonResourceURLs) == 0
			}) {
				t.Fatalf("an empty rule in %q", text)
			}
		}
	})
}
