package rbac

import (
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func roleBinding() *api.Resource {
	return meta.Entry[*rbacv1.RoleBinding]{
		Group:   rbacv1.GroupName,
		Version: "v1", Kind: "RoleBinding", Plural: "rolebindings",
		Namespaced: true,
		New:        meta.New[rbacv1.RoleBinding],
		NewList:    meta.Empty[rbacv1.RoleBindingList],
		Path:       "rolebindings",
		Default: func(b *rbacv1.RoleBinding) {
			defaultRoleRef(&b.RoleRef)
			defaultSubjects(b.Subjects)
		},
		Name:                meta.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns:             bindingColumns(rbacv1.RoleBinding{}.SwaggerDoc()["roleRef"]),
		Row: func(b *rbacv1.RoleBinding, now time.Time) []any {
			return bindingRow(b, b.RoleRef, b.Subjects, now)
		},
		Validate:       validateRoleBinding,
		ValidateUpdate: validateRoleBindingUpdate,
	}.Resource()
}

func clusterRoleBinding() *api.Resource {
	return meta.Entry[*rbacv1.ClusterRoleBinding]{
		Group:   rbacv1.GroupName,
		Version: "v1", Kind: "ClusterRoleBinding", Plural: "clusterrolebindings",
		New:     meta.New[rbacv1.ClusterRoleBinding],
		NewList: meta.Empty[rbacv1.ClusterRoleBindingList],
		Path:    "clusterrolebindings",
		Default: func(b *rbacv1.ClusterRoleBinding) {
			defaultRoleRef(&b.RoleRef)
			defaultSubjects(b.Subjects)
		},
		Name:                meta.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns:             bindingColumns(rbacv1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"]),
		Row: func(b *rbacv1.ClusterRoleBinding, now time.Time) []any {
			return bindingRow(b, b.RoleRef, b.Subjects, now)
		},
		Validate:       validateClusterRoleBinding,
		ValidateUpdate: validateClusterRoleBindingUpdate,
	}.Resource()
}

func defaultRoleRef(r *rbacv1.RoleRef) {
	if r.APIGroup == "" {
		r.APIGroup = rbacv1.GroupName
	}
}

func defaultSubjects(list []rbacv1.Subject) {
	for i := range list {
		if s := &list[i]; s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}

func bindingColumns(roleRef string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Role", roleRef),
		meta.AgeColumn(),
		meta.Wide(meta.Column("Users", "The users that the binding names.")),
		meta.Wide(meta.Column("Groups", "The groups that the binding names.")),
		meta.Wide(meta.Column("ServiceAccounts", "The service accounts that the binding names.")),
	}
}

func bindingRow(obj api.Object, ref rbacv1.RoleRef, subjects []rbacv1.Subject, now time.Time) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []any{
		obj.GetName(), ref.Kind + "/" + ref.Name, meta.Age(obj, now),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", "),
	}
}
