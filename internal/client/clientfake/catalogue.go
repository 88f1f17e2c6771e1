package clientfake

import (
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"

	"coracle.dev/coracle/internal/api"
)

// clusterScoped are the kinds of the stable groups that live outside namespaces.
const clusterScoped = `Namespace Node PersistentVolume ComponentStatus ClusterRole ClusterRoleBinding StorageClass CSIDriver
CSINode VolumeAttachment VolumeAttributesClass PriorityClass RuntimeClass IngressClass IPAddress ServiceCIDR CertificateSigningRequest
ClusterTrustBundle FlowSchema PriorityLevelConfiguration MutatingWebhookConfiguration ValidatingWebhookConfiguration
ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding DeviceClass
ResourceSlice StorageVersionMigration DeviceTaintRule TokenReview SubjectAccessReview SelfSubjectAccessReview
SelfSubjectRulesReview SelfSubjectReview`

// Catalogue returns a plain catalogue of every listable kind of client-go's scheme at its best version: names, scope and the
// indexes that other rooms rely on, without any behaviour. Tests that need defaults or validation use the built-in catalogue.
func Catalogue() *api.Catalogue {
	cluster := map[string]bool{}
	for _, kind := range strings.Fields(clusterScoped) {
		cluster[kind] = true
	}
	var resources []*api.Resource
	for _, gv := range bestVersions() {
		known := scheme.Scheme.KnownTypes(gv)
		kinds := make([]string, 0, len(known))
		for kind := range known {
			if _, listable := known[kind+"List"]; listable {
				kinds = append(kinds, kind)
			}
		}
		sort.Strings(kinds)
		for _, kind := range kinds {
			resources = append(resources, resource(gv, kind, !cluster[kind]))
		}
	}
	c, err := api.NewCatalogue(scheme.Scheme, resources)
	if err != nil {
		panic(err) // the scheme is fixed at build time
	}
	return c
}

// bestVersions returns one version per group of client-go's scheme: the most stable, newest one.
func bestVersions() []schema.GroupVersion {
	best := map[string]schema.GroupVersion{}
	var groups []string
	for _, gv := range scheme.Scheme.PrioritizedVersionsAllGroups() {
		if gv.Version == runtime.APIVersionInternal {
			continue
		}
		have, seen := best[gv.Group]
		if !seen {
			groups = append(groups, gv.Group)
		}
		if !seen || version.CompareKubeAwareVersionStrings(gv.Version, have.Version) > 0 {
			best[gv.Group] = gv
		}
	}
	all := make([]schema.GroupVersion, 0, len(groups))
	for _, group := range groups {
		all = append(all, best[group])
	}
	return all
}

func resource(gv schema.GroupVersion, kind string, namespaced bool) *api.Resource {
	plural, singular := meta.UnsafeGuessKindToResource(gv.WithKind(kind))
	if kind == "Endpoints" {
		plural = singular
	}
	create := func(k string) func() runtime.Object {
		return func() runtime.Object {
			obj, err := scheme.Scheme.New(gv.WithKind(k))
			if err != nil {
				panic(err)
			}
			return obj
		}
	}
	return &api.Resource{
		Group: gv.Group, Plural: plural.Resource, Singular: singular.Resource, Kind: kind, ListKind: kind + "List",
		Namespaced: namespaced, StoredVersion: gv.Version,
		Verbs:    []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
		Versions: []api.Version{{Name: gv.Version, New: create(kind), NewList: create(kind + "List")}},
		Indexes: map[string]func(api.Object) []string{
			api.IndexController: func(o api.Object) []string {
				if ref := metav1.GetControllerOf(o); ref != nil {
					return []string{string(ref.UID)}
				}
				return nil
			},
			api.IndexNode: func(o api.Object) []string {
				if p, ok := o.(*corev1.Pod); ok {
					return []string{p.Spec.NodeName}
				}
				return nil
			},
			api.IndexService: func(o api.Object) []string {
				if _, ok := o.(*discoveryv1.EndpointSlice); ok {
					return []string{o.GetNamespace() + "/" + o.GetLabels()[discoveryv1.LabelServiceName]}
				}
				return nil
			},
		},
	}
}
