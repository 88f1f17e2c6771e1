package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateRoleBinding(b *rbacv1.RoleBinding) field.ErrorList {
	return append(validateRoleRef(b.RoleRef, "Role", "ClusterRole"), validateSubjects(b.Subjects, true)...)
}

func validateRoleBindingUpdate(b, old *rbacv1.RoleBinding) field.ErrorList {
	return append(validateRoleBinding(b), rule.Unchanged(field.NewPath("roleRef"), b.RoleRef, old.RoleRef)...)
}

func validateClusterRoleBinding(b *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(validateRoleRef(b.RoleRef, "ClusterRole"), validateSubjects(b.Subjects, false)...)
}

func validateClusterRoleBindingUpdate(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(validateClusterRoleBinding(b), rule.Unchanged(field.NewPath("roleRef"), b.RoleRef, old.RoleRef)...)
}

func validateRoleRef(r rbacv1.RoleRef, kinds ...string) field.ErrorList {
	at := field.NewPath("roleRef")
	errs := rule.OneOf(at.Child("apiGroup"), r.APIGroup, rbacv1.GroupName)
	errs = append(errs, rule.OneOf(at.Child("kind"), r.Kind, kinds...)...)
	return append(errs, rule.GivenName(at.Child("name"), r.Name, meta.PathSegment)...)
}

func validateSubjects(list []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		errs = append(errs, validateSubject(field.NewPath("subjects").Index(i), &list[i], namespaced)...)
	}
	return errs
}

// validateSubject takes names of users and groups as they are: the authenticators decide what they look like.
func validateSubject(at *field.Path, s *rbacv1.Subject, namespaced bool) field.ErrorList {
	errs := rule.Given(at.Child("name"), s.Name)
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			errs = append(errs, rule.DNSSubdomain(at.Child("name"), s.Name)...)
		}
		errs = append(errs, rule.OneOf(at.Child("apiGroup"), s.APIGroup, "")...)
		if !namespaced {
			errs = append(errs, rule.Given(at.Child("namespace"), s.Namespace)...)
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, rule.OneOf(at.Child("apiGroup"), s.APIGroup, rbacv1.GroupName)...)
	default:
		errs = append(errs, field.NotSupported(at.Child("kind"), s.Kind,
			[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	return errs
}
