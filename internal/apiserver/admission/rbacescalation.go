package admission

import (
	"context"
	"errors"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
)

// RBACEscalation keeps people from granting what they do not hold: writing a role takes all its rules or the verb "escalate",
// writing a binding takes all rules of its role or the verb "bind". Upstream has this in the storage of the four kinds.
type RBACEscalation struct {
	admitNothing
	rbac       *authz.RBAC
	authorizer authz.Authorizer
}

// NewRBACEscalation returns the plugin.
func NewRBACEscalation(rbac *authz.RBAC, a authz.Authorizer) *RBACEscalation {
	return &RBACEscalation{rbac: rbac, authorizer: a}
}

// Name implements Plugin.
func (*RBACEscalation) Name() string { return "RBACEscalation" }

// Validate implements Plugin.
func (p *RBACEscalation) Validate(ctx context.Context, op *Operation) error {
	if op.Group != rbacv1.GroupName || op.Subresource != "" || op.Verb != opCreate && op.Verb != opUpdate ||
		op.User.InGroup(request.GroupMasters) || onlyCollected(op.Object, op.Old) {
		return nil
	}
	switch obj := op.Object.(type) {
	case *rbacv1.Role:
		return p.role(ctx, op, obj.Rules, false)
	case *rbacv1.ClusterRole:
		old, _ := op.Old.(*rbacv1.ClusterRole)
		return p.role(ctx, op, obj.Rules, aggregates(obj) || aggregates(old))
	case *rbacv1.RoleBinding:
		return p.binding(ctx, op, obj.RoleRef, op.Namespace)
	case *rbacv1.ClusterRoleBinding:
		return p.binding(ctx, op, obj.RoleRef, "")
	}
	return nil
}

func (p *RBACEscalation) role(ctx context.Context, op *Operation, rules []rbacv1.PolicyRule, aggregated bool) error {
	if p.allowed(ctx, op, "escalate", op.Resource, op.Name, op.Namespace) {
		return nil
	}
	if err := p.rbac.ConfirmNoEscalation(&op.User, op.Namespace, rules); err != nil {
		return op.forbid("%w", err)
	}
	// What an aggregated role gathers later can be anything.
	if aggregated && p.rbac.ConfirmNoEscalation(&op.User, op.Namespace, authz.FullAuthority()) != nil {
		return op.forbid("%w", errors.New("must have cluster-admin privileges to use the aggregationRule"))
	}
	return nil
}

func (p *RBACEscalation) binding(ctx context.Context, op *Operation, ref rbacv1.RoleRef, namespace string) error {
	plural := "clusterroles"
	if ref.Kind == "Role" {
		plural = "roles"
	}
	if p.allowed(ctx, op, "bind", plural, ref.Name, namespace) {
		return nil
	}
	rules, err := p.rbac.RoleRules(ref, namespace)
	if err != nil {
		return err
	}
	if err := p.rbac.ConfirmNoEscalation(&op.User, namespace, rules); err != nil {
		return op.forbid("%w", err)
	}
	return nil
}

func (p *RBACEscalation) allowed(ctx context.Context, op *Operation, verb, plural, name, namespace string) bool {
	decision, _, _ := p.authorizer.Authorize(ctx, &request.Attributes{
		User: op.User, Verb: verb, IsResource: true, Group: rbacv1.GroupName, Version: "*",
		Resource: plural, Name: name, Namespace: namespace,
	})
	return decision == authz.Allow
}

func aggregates(role *rbacv1.ClusterRole) bool {
	return role != nil && role.AggregationRule != nil && len(role.AggregationRule.ClusterRoleSelectors) > 0
}

// onlyCollected tells whether an update changes nothing but what the garbage collector must be able to change.
func onlyCollected(obj, old runtime.Object) bool {
	if obj == nil || old == nil {
		return false
	}
	changed := obj.DeepCopyObject()
	after, err := meta.Accessor(changed)
	if err != nil {
		return false
	}
	before, err := meta.Accessor(old)
	if err != nil {
		return false
	}
	after.SetOwnerReferences(before.GetOwnerReferences())
	after.SetFinalizers(before.GetFinalizers())
	after.SetManagedFields(before.GetManagedFields())
	after.SetResourceVersion(before.GetResourceVersion())
	return equality.Semantic.DeepEqual(changed, old)
}
