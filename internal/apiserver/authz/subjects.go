package authz

import (
	"cmp"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/request"
)

// binding is a RoleBinding or, without namespace, a ClusterRoleBinding.
type binding struct {
	types.NamespacedName
	role     rbacv1.RoleRef
	subjects []rbacv1.Subject
}

// subject is a user or a group; service accounts are users.
type subject struct {
	group bool
	name  string
}

// subjectIndex finds the bindings of a subject in a namespace ("" for those of the whole cluster).
type subjectIndex struct {
	bindings map[types.NamespacedName]*binding
	bound    map[string]map[subject][]*binding
}

func newSubjectIndex() *subjectIndex {
	return &subjectIndex{bindings: map[types.NamespacedName]*binding{}, bound: map[string]map[subject][]*binding{}}
}

// set replaces the binding of that key; nil takes it out.
func (x *subjectIndex) set(key types.NamespacedName, obj api.Object) {
	if old, ok := x.bindings[key]; ok {
		delete(x.bindings, key)
		for _, s := range subjectsOf(old) {
			x.unbind(key.Namespace, s, old)
		}
	}
	added := bindingOf(obj)
	if added == nil {
		return
	}
	x.bindings[key] = added
	for _, s := range subjectsOf(added) {
		x.bind(key.Namespace, s, added)
	}
}

func bindingOf(obj api.Object) *binding {
	switch b := obj.(type) {
	case *rbacv1.RoleBinding:
		return &binding{keyOf(b), b.RoleRef, b.Subjects}
	case *rbacv1.ClusterRoleBinding:
		return &binding{types.NamespacedName{Name: b.Name}, b.RoleRef, b.Subjects}
	}
	return nil
}

// bind keeps each list sorted by name, so that the same call is always allowed for the same reason.
func (x *subjectIndex) bind(namespace string, s subject, b *binding) {
	in := x.bound[namespace]
	if in == nil {
		in = map[subject][]*binding{}
		x.bound[namespace] = in
	}
	at, _ := slices.BinarySearchFunc(in[s], b, byName)
	in[s] = slices.Insert(in[s], at, b)
}

func (x *subjectIndex) unbind(namespace string, s subject, b *binding) {
	in := x.bound[namespace]
	if at, found := slices.BinarySearchFunc(in[s], b, byName); found {
		in[s] = slices.Delete(in[s], at, at+1)
	}
	if len(in[s]) == 0 {
		delete(in, s)
	}
	if len(in) == 0 {
		delete(x.bound, namespace)
	}
}

func byName(a, b *binding) int { return cmp.Compare(a.Name, b.Name) }

// subjectsOf lists whom a binding concerns, each once.
func subjectsOf(b *binding) []subject {
	var all []subject
	for i := range b.subjects {
		if s, ok := subjectOf(&b.subjects[i], b.Namespace); ok && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func subjectOf(s *rbacv1.Subject, bindingNamespace string) (subject, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return subject{name: s.Name}, true
	case rbacv1.GroupKind:
		return subject{group: true, name: s.Name}, true
	case rbacv1.ServiceAccountKind:
		namespace := cmp.Or(s.Namespace, bindingNamespace)
		if namespace == "" {
			return subject{}, false
		}
		return subject{name: request.ServiceAccountPrefix + namespace + ":" + s.Name}, true
	}
	return subject{}, false
}

// visit calls f for the bindings of the user in the namespace until it returns false.
func (x *subjectIndex) visit(u *request.User, namespace string, f func(*binding, subject) bool) bool {
	in := x.bound[namespace]
	if in == nil {
		return true
	}
	each := func(s subject) bool {
		for _, b := range in[s] {
			if !f(b, s) {
				return false
			}
		}
		return true
	}
	if !each(subject{name: u.Name}) {
		return false
	}
	for _, group := range u.Groups {
		if !each(subject{group: true, name: group}) {
			return false
		}
	}
	return true
}

// describe tells people which binding it was, in upstream's words (which name the namespace last).
func (b *binding) describe(s subject) string {
	kind, name := "ClusterRoleBinding", b.Name
	if b.Namespace != "" {
		kind, name = "RoleBinding", b.Name+"/"+b.Namespace
	}
	return fmt.Sprintf("%s %q of %s %q to %s", kind, name, b.role.Kind, b.role.Name, b.describeSubject(s))
}

func (b *binding) describeSubject(s subject) string {
	for i := range b.subjects {
		as := &b.subjects[i]
		if is, ok := subjectOf(as, b.Namespace); !ok || is != s {
			continue
		}
		if as.Kind == rbacv1.ServiceAccountKind {
			return fmt.Sprintf("%s %q", as.Kind, as.Name+"/"+cmp.Or(as.Namespace, b.Namespace))
		}
		return fmt.Sprintf("%s %q", as.Kind, as.Name)
	}
	return fmt.Sprintf("%q", s.name)
}
