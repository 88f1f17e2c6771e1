package resource

import (
	resourcev1 "k8s.io/api/resource/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func resourceClaimTemplate() *api.Resource {
	return meta.Entry[*resourcev1.ResourceClaimTemplate]{
		Group:   resourcev1.GroupName,
		Version: "v1", Kind: "ResourceClaimTemplate", Plural: "resourceclaimtemplates",
		Namespaced: true,
		New:        meta.New[resourcev1.ResourceClaimTemplate],
		NewList:    meta.Empty[resourcev1.ResourceClaimTemplateList],
		Path:       "resourceclaimtemplates",
		Default:    func(t *resourcev1.ResourceClaimTemplate) { defaultClaimSpec(&t.Spec.Spec) },
		PrepareCreate: func(t *resourcev1.ResourceClaimTemplate) {
			meta.DropAlpha(&t.Spec.Spec, nil, derivedAttributeSlots)
		},
		PrepareUpdate: func(t, old *resourcev1.ResourceClaimTemplate) {
			meta.DropAlpha(&t.Spec.Spec, &old.Spec.Spec, derivedAttributeSlots)
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             meta.AgeColumns(),
		Row:                 meta.AgeRow[*resourcev1.ResourceClaimTemplate],
		Validate:            validateTemplate,
		ValidateUpdate:      validateTemplateUpdate,
	}.Resource()
}
