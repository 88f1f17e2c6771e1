package resource

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func resourceSlice() *api.Resource {
	spec := resourcev1.ResourceSliceSpec{}.SwaggerDoc()
	return meta.Entry[*resourcev1.ResourceSlice]{
		Group:   resourcev1.GroupName,
		Version: "v1", Kind: "ResourceSlice", Plural: "resourceslices",
		New:     meta.New[resourcev1.ResourceSlice],
		NewList: meta.Empty[resourcev1.ResourceSliceList],
		Path:    "resourceslices",
		PrepareCreate: func(s *resourcev1.ResourceSlice) {
			s.Generation = 1
			dropAlphaSlice(&s.Spec, nil)
		},
		PrepareUpdate: func(s, old *resourcev1.ResourceSlice) {
			if !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
				s.Generation++
			}
			dropAlphaSlice(&s.Spec, &old.Spec)
		},
		Stamp:               stampTaints,
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Node", spec["nodeName"]),
			meta.Column("Driver", spec["driver"]),
			meta.Column("Pool", resourcev1.ResourcePool{}.SwaggerDoc()["name"]),
			meta.AgeColumn(),
		},
		Row: func(s *resourcev1.ResourceSlice, now time.Time) []any {
			return []any{s.Name, meta.Deref(s.Spec.NodeName), s.Spec.Driver, s.Spec.Pool.Name, meta.Age(s, now)}
		},
		Fields: func(s *resourcev1.ResourceSlice) fields.Set {
			return fields.Set{
				resourcev1.ResourceSliceSelectorNodeName: meta.Deref(s.Spec.NodeName),
				resourcev1.ResourceSliceSelectorDriver:   s.Spec.Driver,
				resourcev1.ResourceSliceSelectorPoolName: s.Spec.Pool.Name,
			}
		},
		Indexes: map[string]func(*resourcev1.ResourceSlice) []string{
			api.IndexNode: func(s *resourcev1.ResourceSlice) []string { return []string{meta.Deref(s.Spec.NodeName)} },
		},
		Validate:       validateSlice,
		ValidateUpdate: validateSliceUpdate,
	}.Resource()
}

// stampTaints notes when taints were added whose writer did not say.
func stampTaints(s, _ *resourcev1.ResourceSlice, now time.Time) {
	for i := range s.Spec.Devices {
		taints := s.Spec.Devices[i].Taints
		for k := range taints {
			if taints[k].TimeAdded == nil {
				taints[k].TimeAdded = taintTime(now)
			}
		}
	}
}
