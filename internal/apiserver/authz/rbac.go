package authz

import (
	"context"
	"errors"
	"fmt"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
)

// RBAC allows what roles and bindings say. It never denies. Safe for concurrent use.
type RBAC struct {
	roles        client.Cache
	clusterRoles client.Cache
	followers    followers

	mu sync.RWMutex
	// index and the aggregated rules are guarded by mu and kept by the followers.
	index *subjectIndex
	// rulesOf caches the rules of aggregated cluster roles. It is emptied when any cluster role changes.
	rulesOf map[string][]rbacv1.PolicyRule
	filling sync.Mutex
}

func rbacResource(plural string) schema.GroupResource {
	return schema.GroupResource{Group: rbacv1.GroupName, Resource: plural}
}

// NewRBAC returns an authorizer over the source's roles and bindings. It knows them after Sync, and follows them in Run.
func NewRBAC(source Source) (*RBAC, error) {
	r := &RBAC{index: newSubjectIndex(), rulesOf: map[string][]rbacv1.PolicyRule{}}
	var err error
	if r.roles, err = source.Cache(client.Selection{Resource: rbacResource("roles")}); err != nil {
		return nil, fmt.Errorf("opening cache of roles: %w", err)
	}
	for _, input := range []struct {
		plural string
		set    func(types.NamespacedName, api.Object)
	}{
		{"rolebindings", r.index.set},
		{"clusterrolebindings", r.index.set},
		{"clusterroles", func(types.NamespacedName, api.Object) { clear(r.rulesOf) }},
	} {
		f, err := newFollower(source, rbacResource(input.plural), &r.mu, input.set)
		if err != nil {
			return nil, err
		}
		r.followers = append(r.followers, f)
		r.clusterRoles = f.cache // the last one
	}
	return r, nil
}

// Run follows roles and bindings until ctx ends.
func (r *RBAC) Run(ctx context.Context) error { return r.followers.run(ctx) }

// Sync waits until every role and binding acknowledged before the call counts.
func (r *RBAC) Sync(ctx context.Context) error {
	if err := r.roles.Sync(ctx); err != nil {
		return fmt.Errorf("reading roles: %w", err)
	}
	return r.followers.sync(ctx)
}

// Authorize implements Authorizer.
func (r *RBAC) Authorize(_ context.Context, a *request.Attributes) (Decision, string, error) {
	var reason string
	var failed error
	r.visit(&a.User, a.Namespace, func(b *binding, s subject, rules []rbacv1.PolicyRule, err error) bool {
		failed = errors.Join(failed, err)
		if !RulesAllow(a, rules) {
			return true
		}
		reason = "RBAC: allowed by " + b.describe(s)
		return false
	})
	if reason != "" {
		return Allow, reason, nil
	}
	if failed != nil {
		return NoOpinion, fmt.Sprintf("RBAC: %v", failed), nil
	}
	return NoOpinion, "", nil
}

// RulesFor returns all rules that apply to the user in the namespace, cluster-wide ones included. When an error is returned
// too, the rules are those that could be found.
func (r *RBAC) RulesFor(user *request.User, namespace string) ([]rbacv1.PolicyRule, error) {
	var all []rbacv1.PolicyRule
	var failed error
	r.visit(user, namespace, func(_ *binding, _ subject, rules []rbacv1.PolicyRule, err error) bool {
		failed = errors.Join(failed, err)
		all = append(all, rules...)
		return true
	})
	return all, failed
}

// RoleRules returns the rules of a role as a binding in the namespace names it.
func (r *RBAC) RoleRules(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.roleRules(ref, namespace)
}

// visit walks the bindings that apply, those of the cluster first, each with its role's rules or why there are none.
func (r *RBAC) visit(
	user *request.User, namespace string, f func(*binding, subject, []rbacv1.PolicyRule, error) bool,
) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	each := func(b *binding, s subject) bool {
		rules, err := r.roleRules(b.role, b.Namespace)
		return f(b, s, rules, err)
	}
	if r.index.visit(user, "", each) && namespace != "" {
		r.index.visit(user, namespace, each)
	}
}

// roleRules is called with mu read-locked.
func (r *RBAC) roleRules(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "Role":
		obj, ok := r.roles.Snapshot().Get(namespace, ref.Name)
		role, isRole := obj.(*rbacv1.Role)
		if !ok || !isRole {
			return nil, apierrors.NewNotFound(rbacResource("role"), ref.Name)
		}
		return role.Rules, nil
	case "ClusterRole":
		snapshot := r.clusterRoles.Snapshot()
		obj, ok := snapshot.Get("", ref.Name)
		role, isRole := obj.(*rbacv1.ClusterRole)
		if !ok || !isRole {
			return nil, apierrors.NewNotFound(rbacResource("clusterrole"), ref.Name)
		}
		if !isAggregated(role) {
			return role.Rules, nil
		}
		return r.aggregated(role, snapshot), nil
	}
	return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
}

// aggregated resolves an aggregated role itself rather than waiting for a controller to write the result into the role, so
// that a grant to it counts at once and a controller that is down or switched off opens or closes nothing.
func (r *RBAC) aggregated(role *rbacv1.ClusterRole, snapshot client.Snapshot) []rbacv1.PolicyRule {
	r.filling.Lock() // readers fill rulesOf together; the followers empty it alone, under mu
	defer r.filling.Unlock()
	if rules, ok := r.rulesOf[role.Name]; ok {
		return rules
	}
	var all []*rbacv1.ClusterRole
	for obj := range snapshot.All("") {
		if other, ok := obj.(*rbacv1.ClusterRole); ok {
			all = append(all, other)
		}
	}
	rules := AggregateRules(role, all)
	r.rulesOf[role.Name] = rules
	return rules
}
