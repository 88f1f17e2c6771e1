package resource

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func deviceTaintRule() *api.Resource {
	doc := resourcev1.DeviceTaint{}.SwaggerDoc()
	return meta.Entry[*resourcev1.DeviceTaintRule]{
		Group:   resourcev1.GroupName,
		Version: "v1", Kind: "DeviceTaintRule", Plural: "devicetaintrules",
		New:     meta.New[resourcev1.DeviceTaintRule],
		NewList: meta.Empty[resourcev1.DeviceTaintRuleList],
		Path:    "devicetaintrules",
		Subresources: []api.Subresource{
			meta.Status(resourcev1.SchemeGroupVersion.WithKind("DeviceTaintRule"), meta.Empty[resourcev1.DeviceTaintRule],
				"metadata", "spec"),
		},
		PrepareCreate: func(r *resourcev1.DeviceTaintRule) {
			r.Status = resourcev1.DeviceTaintRuleStatus{}
			r.Generation = 1
		},
		PrepareUpdate: func(r, old *resourcev1.DeviceTaintRule) {
			r.Status = old.Status
			if !equality.Semantic.DeepEqual(r.Spec, old.Spec) {
				r.Generation++
			}
		},
		PrepareStatus: func(r, old *resourcev1.DeviceTaintRule) {
			r.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&r.ObjectMeta, &old.ObjectMeta)
		},
		Stamp:               stampTaintRule,
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Key", doc["key"]),
			meta.Column("Value", doc["value"]),
			meta.Column("Effect", doc["effect"]),
			meta.Column("TimeAdded", doc["timeAdded"]),
			meta.AgeColumn(),
		},
		Row: func(r *resourcev1.DeviceTaintRule, now time.Time) []any {
			t, added := &r.Spec.Taint, ""
			if t.TimeAdded != nil {
				added = meta.Since(*t.TimeAdded, now)
			}
			return []any{r.Name, t.Key, t.Value, string(t.Effect), added, meta.Age(r, now)}
		},
		Validate:       validateTaintRule,
		ValidateUpdate: validateTaintRuleUpdate,
		ValidateStatus: validateTaintRuleStatus,
	}.Resource()
}

// stampTaintRule notes when the taint began, or when its effect changed unless the writer says when.
func stampTaintRule(r, old *resourcev1.DeviceTaintRule, now time.Time) {
	t := &r.Spec.Taint
	if t.TimeAdded == nil || old != nil && t.Effect != old.Spec.Taint.Effect && t.TimeAdded.Equal(old.Spec.Taint.TimeAdded) {
		t.TimeAdded = taintTime(now)
	}
}

func taintTime(now time.Time) *metav1.Time { return &metav1.Time{Time: now.Truncate(time.Second)} }
