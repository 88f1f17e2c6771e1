package coordination

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func lease() *api.Resource {
	return meta.Entry[*coordinationv1.Lease]{
		Group:   coordinationv1.GroupName,
		Version: "v1", Kind: "Lease", Plural: "leases",
		Namespaced: true,
		New:        meta.New[coordinationv1.Lease],
		NewList:    meta.Empty[coordinationv1.LeaseList],
		Path:       "leases",
		// Coordinated leader election is off by default; its fields are dropped unless an object has them already.
		PrepareCreate: func(l *coordinationv1.Lease) {
			l.Spec.Strategy = nil
			l.Spec.PreferredHolder = nil
		},
		PrepareUpdate: func(l, old *coordinationv1.Lease) {
			if old.Spec.Strategy == nil {
				l.Spec.Strategy = nil
			}
			if old.Spec.PreferredHolder == nil {
				l.Spec.PreferredHolder = nil
			}
		},
		CreateOnUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]),
			meta.AgeColumn(),
		},
		Row: func(l *coordinationv1.Lease, now time.Time) []any {
			return []any{l.Name, meta.Deref(l.Spec.HolderIdentity), meta.Age(l, now)}
		},
		Validate:       validateLease,
		ValidateUpdate: validateLeaseUpdate,
		AnyFinalizer:   true,
	}.Resource()
}
