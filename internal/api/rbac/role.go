package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func role() *api.Resource {
	return meta.Entry[*rbacv1.Role]{
		Group:   rbacv1.GroupName,
		Version: "v1", Kind: "Role", Plural: "roles",
		Namespaced:          true,
		New:                 meta.New[rbacv1.Role],
		NewList:             meta.Empty[rbacv1.RoleList],
		Path:                "roles",
		Name:                meta.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Validate:            validateRole,
		ValidateUpdate:      validateRoleUpdate,
	}.Resource()
}

func clusterRole() *api.Resource {
	return meta.Entry[*rbacv1.ClusterRole]{
		Group:   rbacv1.GroupName,
		Version: "v1", Kind: "ClusterRole", Plural: "clusterroles",
		New:                 meta.New[rbacv1.ClusterRole],
		NewList:             meta.Empty[rbacv1.ClusterRoleList],
		Path:                "clusterroles",
		Name:                meta.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Validate:            validateClusterRole,
		ValidateUpdate:      validateClusterRoleUpdate,
	}.Resource()
}
