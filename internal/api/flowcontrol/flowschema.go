package flowcontrol

import (
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func flowSchema() *api.Resource {
	spec := flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()
	return meta.Entry[*flowcontrolv1.FlowSchema]{
		Group:   flowcontrolv1.GroupName,
		Version: "v1", Kind: "FlowSchema", Plural: "flowschemas",
		New:     meta.New[flowcontrolv1.FlowSchema],
		NewList: meta.Empty[flowcontrolv1.FlowSchemaList],
		Path:    "flowschemas",
		Subresources: []api.Subresource{
			meta.Status(flowcontrolv1.SchemeGroupVersion.WithKind("FlowSchema"), meta.Empty[flowcontrolv1.FlowSchema],
				"metadata", "spec"),
		},
		Default: func(f *flowcontrolv1.FlowSchema) {
			if f.Spec.MatchingPrecedence == 0 {
				f.Spec.MatchingPrecedence = 1000
			}
		},
		PrepareCreate: func(f *flowcontrolv1.FlowSchema) {
			f.Status = flowcontrolv1.FlowSchemaStatus{}
			f.Generation = 1
		},
		PrepareUpdate: func(f, old *flowcontrolv1.FlowSchema) {
			f.Status = old.Status
			if !equality.Semantic.DeepEqual(f.Spec, old.Spec) {
				f.Generation++
			}
		},
		PrepareStatus: func(f, old *flowcontrolv1.FlowSchema) {
			f.Spec = old.Spec
			keepMetadata(&f.ObjectMeta, &old.ObjectMeta)
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("PriorityLevel", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"]),
			meta.Column("MatchingPrecedence", spec["matchingPrecedence"]),
			meta.Column("DistinguisherMethod", spec["distinguisherMethod"]),
			meta.AgeColumn(),
			meta.Column("MissingPL", "Whether the priority level does not exist."),
		},
		Row:            flowSchemaRow,
		Validate:       validateSchema,
		ValidateUpdate: validateSchemaUpdate,
		ValidateStatus: validateSchemaStatus,
	}.Resource()
}

// keepMetadata puts the old metadata back, except for the record of who manages what.
func keepMetadata(m, old *metav1.ObjectMeta) {
	managed := m.ManagedFields
	*m = *old
	m.ManagedFields = managed
}

func flowSchemaRow(f *flowcontrolv1.FlowSchema, now time.Time) []any {
	method := meta.None
	if f.Spec.DistinguisherMethod != nil {
		method = string(f.Spec.DistinguisherMethod.Type)
	}
	missing := "?"
	for i := range f.Status.Conditions {
		if f.Status.Conditions[i].Type == flowcontrolv1.FlowSchemaConditionDangling {
			missing = string(f.Status.Conditions[i].Status)
			break
		}
	}
	return []any{
		f.Name, f.Spec.PriorityLevelConfiguration.Name, int64(f.Spec.MatchingPrecedence), method, meta.Age(f, now), missing,
	}
}
