package scheduling

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func priorityClass() *api.Resource {
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	return meta.Entry[*schedulingv1.PriorityClass]{
		Group:   schedulingv1.GroupName,
		Version: "v1", Kind: "PriorityClass", Plural: "priorityclasses",
		Short:   []string{"pc"},
		New:     meta.New[schedulingv1.PriorityClass],
		NewList: meta.Empty[schedulingv1.PriorityClassList],
		Path:    "priorityclasses",
		Default: func(c *schedulingv1.PriorityClass) {
			if c.PreemptionPolicy == nil {
				c.PreemptionPolicy = new(corev1.PreemptLowerPriority)
			}
		},
		PrepareCreate:       func(c *schedulingv1.PriorityClass) { c.Generation = 1 },
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Value", "integer", doc["value"]),
			meta.Typed("Global-Default", "boolean", doc["globalDefault"]),
			meta.AgeColumn(),
			meta.Column("PreemptionPolicy", doc["preemptionPolicy"]),
		},
		Row: func(c *schedulingv1.PriorityClass, now time.Time) []any {
			return []any{c.Name, int64(c.Value), c.GlobalDefault, meta.Age(c, now), string(meta.Deref(c.PreemptionPolicy))}
		},
		Validate:       validateClass,
		ValidateUpdate: validateClassUpdate,
	}.Resource()
}
