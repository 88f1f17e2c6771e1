package policy

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func podDisruptionBudget() *api.Resource {
	return meta.Entry[*policyv1.PodDisruptionBudget]{
		Group:   policyv1.GroupName,
		Version: "v1", Kind: "PodDisruptionBudget", Plural: "poddisruptionbudgets",
		Short:      []string{"pdb"},
		Namespaced: true,
		New:        meta.New[policyv1.PodDisruptionBudget],
		NewList:    meta.Empty[policyv1.PodDisruptionBudgetList],
		Path:       "poddisruptionbudgets",
		Subresources: []api.Subresource{
			meta.Status(policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), meta.Empty[policyv1.PodDisruptionBudget]),
		},
		PrepareCreate: func(b *policyv1.PodDisruptionBudget) {
			b.Status = policyv1.PodDisruptionBudgetStatus{}
			b.Generation = 1
		},
		PrepareUpdate: func(b, old *policyv1.PodDisruptionBudget) {
			b.Status = old.Status
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation++
			}
		},
		PrepareStatus: func(b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec },
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Min Available", policyv1.PodDisruptionBudgetSpec{}.SwaggerDoc()["minAvailable"]),
			meta.Column("Max Unavailable", policyv1.PodDisruptionBudgetSpec{}.SwaggerDoc()["maxUnavailable"]),
			meta.Typed("Allowed Disruptions", "integer", policyv1.PodDisruptionBudgetStatus{}.SwaggerDoc()["disruptionsAllowed"]),
			meta.AgeColumn(),
		},
		Row: func(b *policyv1.PodDisruptionBudget, now time.Time) []any {
			low, high := "N/A", "N/A"
			if b.Spec.MinAvailable != nil {
				low = b.Spec.MinAvailable.String()
			}
			if b.Spec.MaxUnavailable != nil {
				high = b.Spec.MaxUnavailable.String()
			}
			return []any{b.Name, low, high, int64(b.Status.DisruptionsAllowed), meta.Age(b, now)}
		},
		Validate:       validateBudget,
		ValidateUpdate: validateBudgetUpdate,
		ValidateStatus: validateBudgetStatus,
		AnyFinalizer:   true,
	}.Resource()
}
