package reconciletest

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client/clientfake"
)

// Catalogue returns the fake client's catalogue with every kind at its most stable version.
func Catalogue() *api.Catalogue {
	base := clientfake.Catalogue()
	best := map[schema.GroupKind]string{}
	for gvk := range scheme.Scheme.AllKnownTypes() {
		obj, err := scheme.Scheme.New(gvk)
		listed := scheme.Scheme.Recognizes(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err != nil || gvk.Version == runtime.APIVersionInternal || !listed {
			continue
		}
		if _, ok := obj.(metav1.Object); !ok {
			continue
		}
		if old, ok := best[gvk.GroupKind()]; !ok || version.CompareKubeAwareVersionStrings(gvk.Version, old) > 0 {
			best[gvk.GroupKind()] = gvk.Version
		}
	}
	var better []*api.Resource
	for gk, v := range best {
		old, ok := base.ForKind(gk)
		if ok && old.StoredVersion == v {
			continue
		}
		better = append(better, resource(gk.WithVersion(v), old))
	}
	slices.SortFunc(better, func(a, b *api.Resource) int {
		return slices.Compare([]string{a.Group, a.Plural}, []string{b.Group, b.Plural})
	})
	c, err := base.With(better...)
	if err != nil {
		panic(err) // the scheme is fixed at build time
	}
	return c
}

func resource(gvk schema.GroupVersionKind, old *api.Resource) *api.Resource {
	create := func(kind string) func() runtime.Object {
		return func() runtime.Object {
			obj, err := scheme.Scheme.New(gvk.GroupVersion().WithKind(kind))
			if err != nil {
				panic(err)
			}
			return obj
		}
	}
	plural, singular := meta.UnsafeGuessKindToResource(gvk)
	r := &api.Resource{
		Group: gvk.Group, Plural: plural.Resource, Singular: singular.Resource, Kind: gvk.Kind, ListKind: gvk.Kind + "List",
		Namespaced: true,
		Verbs:      []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
		Indexes: map[string]func(api.Object) []string{
			api.IndexController: func(o api.Object) []string {
				if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
					return []string{string(ref.UID)}
				}
				return nil
			},
		},
	}
	if old != nil {
		copied := *old
		r = &copied
	}
	r.StoredVersion = gvk.Version
	r.Versions = []api.Version{{Name: gvk.Version, New: create(gvk.Kind), NewList: create(gvk.Kind + "List")}}
	return r
}
