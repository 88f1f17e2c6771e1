package discovery

import (
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// aggregated describes everything served below /api (core) or /apis in one document.
func aggregated(c *api.Catalogue, core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	list := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: apidiscoveryv2.SchemeGroupVersion.String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, name := range c.Groups() {
		if (name == "") != core {
			continue
		}
		g := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, version := range groupVersions(c, name) {
			g.Versions = append(g.Versions, apidiscoveryv2.APIVersionDiscovery{
				Version: version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
				Resources: aggregatedResources(c, schema.GroupVersion{Group: name, Version: version}),
			})
		}
		if len(g.Versions) > 0 {
			list.Items = append(list.Items, g)
		}
	}
	return list
}

func aggregatedResources(c *api.Catalogue, gv schema.GroupVersion) []apidiscoveryv2.APIResourceDiscovery {
	var out []apidiscoveryv2.APIResourceDiscovery
	for _, res := range c.Resources() {
		if _, ok := res.Version(gv.Version); !ok || res.Group != gv.Group {
			continue
		}
		scope := apidiscoveryv2.ScopeCluster
		if res.Namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		entry := apidiscoveryv2.APIResourceDiscovery{
			Resource: res.Plural, SingularResource: res.Singular, Scope: scope, Verbs: res.Verbs,
			ShortNames: res.ShortNames, Categories: res.Categories, ResponseKind: responseKind(res.GVK(gv.Version)),
		}
		for i := range res.Subresources {
			sub := &res.Subresources[i]
			entry.Subresources = append(entry.Subresources, apidiscoveryv2.APISubresourceDiscovery{
				Subresource: sub.Name, Verbs: sub.Verbs, ResponseKind: responseKind(subKind(res, gv.Version, sub)),
			})
		}
		out = append(out, entry)
	}
	return out
}

func responseKind(gvk schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
}
