package resource

import (
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func deviceClass() *api.Resource {
	return meta.Entry[*resourcev1.DeviceClass]{
		Group:   resourcev1.GroupName,
		Version: "v1", Kind: "DeviceClass", Plural: "deviceclasses",
		New:           meta.New[resourcev1.DeviceClass],
		NewList:       meta.Empty[resourcev1.DeviceClassList],
		Path:          "deviceclasses",
		PrepareCreate: func(c *resourcev1.DeviceClass) { c.Generation = 1 },
		PrepareUpdate: func(c, old *resourcev1.DeviceClass) {
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation++
			}
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             meta.AgeColumns(),
		Row:                 meta.AgeRow[*resourcev1.DeviceClass],
		Validate:            validateClass,
		ValidateUpdate:      validateClassUpdate,
	}.Resource()
}
