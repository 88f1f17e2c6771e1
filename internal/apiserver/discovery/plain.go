package discovery

import (
	"crypto/sha256"
	"encoding/base64"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// groupVersions returns the versions of a group, the preferred one first.
func groupVersions(c *api.Catalogue, group string) []string {
	var out []string
	seen := map[string]bool{}
	for _, res := range c.Resources() {
		if res.Group != group {
			continue
		}
		for _, v := range res.Versions {
			if !seen[v.Name] {
				seen[v.Name] = true
				out = append(out, v.Name)
			}
		}
	}
	return out
}

// group describes one group, nil when it has no version.
func group(c *api.Catalogue, name string) *metav1.APIGroup {
	versions := groupVersions(c, name)
	if len(versions) == 0 {
		return nil
	}
	g := &metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: name}
	for _, v := range versions {
		gv := schema.GroupVersion{Group: name, Version: v}
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

// groups lists all named groups.
func groups(c *api.Catalogue) *metav1.APIGroupList {
	list := &metav1.APIGroupList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{},
	}
	for _, name := range c.Groups() {
		if name == "" {
			continue
		}
		if g := group(c, name); g != nil {
			g.TypeMeta = metav1.TypeMeta{}
			list.Groups = append(list.Groups, *g)
		}
	}
	return list
}

// resources lists what a group version serves, nil when it serves nothing.
func resources(c *api.Catalogue, gv schema.GroupVersion) *metav1.APIResourceList {
	list := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String(),
	}
	for _, res := range c.Resources() {
		if res.Group != gv.Group {
			continue
		}
		if _, ok := res.Version(gv.Version); !ok {
			continue
		}
		main := metav1.APIResource{
			Name: res.Plural, SingularName: res.Singular, Namespaced: res.Namespaced, Kind: res.Kind, Verbs: verbs(res.Verbs),
			ShortNames: res.ShortNames, Categories: res.Categories,
		}
		if res.StoragePath != "" || res.StoredAs.Resource != "" {
			main.StorageVersionHash = storageHash(res)
		}
		list.APIResources = append(list.APIResources, main)
		for i := range res.Subresources {
			sub := &res.Subresources[i]
			entry := metav1.APIResource{
				Name: res.Plural + "/" + sub.Name, Namespaced: res.Namespaced, Kind: sub.GVK.Kind, Verbs: verbs(sub.Verbs),
			}
			if kind := subKind(res, gv.Version, sub); kind.GroupVersion() != gv {
				entry.Group, entry.Version = kind.Group, kind.Version
			}
			list.APIResources = append(list.APIResources, entry)
		}
	}
	if list.APIResources == nil {
		return nil
	}
	return list
}

// subKind is the kind of a subresource as seen in a version of its resource.
func subKind(res *api.Resource, version string, sub *api.Subresource) schema.GroupVersionKind {
	if sub.GVK.Kind == res.Kind {
		return res.GVK(version)
	}
	return sub.GVK
}

func verbs(v []string) metav1.Verbs {
	if v == nil {
		return metav1.Verbs{}
	}
	return v
}

// storageHash tells clients that the stored version changed; made as upstream makes it.
func storageHash(res *api.Resource) string {
	sum := sha256.Sum256([]byte(res.Group + "/" + res.StoredVersion + "/" + res.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
