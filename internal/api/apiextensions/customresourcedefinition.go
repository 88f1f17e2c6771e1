package apiextensions

import (
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func customResourceDefinition() *api.Resource {
	return meta.Entry[*apiextensionsv1.CustomResourceDefinition]{
		Group:   apiextensionsv1.GroupName,
		Version: "v1", Kind: "CustomResourceDefinition", Plural: "customresourcedefinitions",
		Short:      []string{"crd", "crds"},
		Categories: []string{"api-extensions"},
		New:        meta.New[apiextensionsv1.CustomResourceDefinition],
		NewList:    meta.Empty[apiextensionsv1.CustomResourceDefinitionList],
		Path:       "apiextensions.k8s.io/customresourcedefinitions",
		Subresources: []api.Subresource{
			meta.Status(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"),
				meta.Empty[apiextensionsv1.CustomResourceDefinition]),
		},
		Default: defaultDefinition,
		PrepareCreate: func(d *apiextensionsv1.CustomResourceDefinition) {
			d.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
			d.Generation = 1
			noteStoredVersion(d)
		},
		PrepareUpdate: func(d, old *apiextensionsv1.CustomResourceDefinition) {
			d.Status = old.Status
			if !equality.Semantic.DeepEqual(d.Spec, old.Spec) {
				d.Generation++
			}
			noteStoredVersion(d)
		},
		PrepareStatus:  func(d, old *apiextensionsv1.CustomResourceDefinition) { d.Spec = old.Spec },
		Validate:       validateDefinition,
		ValidateUpdate: validateDefinitionUpdate,
		ValidateStatus: validateDefinitionStatus,
		AnyFinalizer:   true,
	}.Resource()
}

func defaultDefinition(d *apiextensionsv1.CustomResourceDefinition) {
	names := &d.Spec.Names
	if names.Singular == "" {
		names.Singular = strings.ToLower(names.Kind)
	}
	if names.ListKind == "" && names.Kind != "" {
		names.ListKind = names.Kind + "List"
	}
	if d.Spec.Conversion == nil {
		d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	}
	if h := d.Spec.Conversion.Webhook; h != nil && h.ClientConfig != nil && h.ClientConfig.Service != nil {
		if h.ClientConfig.Service.Port == nil {
			h.ClientConfig.Service.Port = new(int32(443))
		}
	}
	if len(d.Status.StoredVersions) == 0 {
		noteStoredVersion(d)
	}
}

// noteStoredVersion adds the storage version to those in which objects may exist in etcd.
func noteStoredVersion(d *apiextensionsv1.CustomResourceDefinition) {
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		if !v.Storage {
			continue
		}
		if !slices.Contains(d.Status.StoredVersions, v.Name) {
			d.Status.StoredVersions = append(slices.Clone(d.Status.StoredVersions), v.Name)
		}
		return
	}
}
