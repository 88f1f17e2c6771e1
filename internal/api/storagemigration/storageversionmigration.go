package storagemigration

import (
	"time"

	storagemigrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func storageVersionMigration() *api.Resource {
	return meta.Entry[*storagemigrationv1.StorageVersionMigration]{
		Group:   storagemigrationv1.GroupName,
		Version: "v1", Kind: "StorageVersionMigration", Plural: "storageversionmigrations",
		New:     meta.New[storagemigrationv1.StorageVersionMigration],
		NewList: meta.Empty[storagemigrationv1.StorageVersionMigrationList],
		Path:    "storageversionmigrations",
		Subresources: []api.Subresource{
			meta.Status(storagemigrationv1.SchemeGroupVersion.WithKind("StorageVersionMigration"),
				meta.Empty[storagemigrationv1.StorageVersionMigration], "metadata", "spec"),
		},
		PrepareCreate: func(m *storagemigrationv1.StorageVersionMigration) {
			m.Status = storagemigrationv1.StorageVersionMigrationStatus{}
		},
		PrepareUpdate: func(m, old *storagemigrationv1.StorageVersionMigration) { m.Status = old.Status },
		PrepareStatus: func(m, old *storagemigrationv1.StorageVersionMigration) {
			m.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&m.ObjectMeta, &old.ObjectMeta)
		},
		Columns: []metav1.TableColumnDefinition{
			meta.Column("Name", metav1.ObjectMeta{}.SwaggerDoc()["name"]),
			meta.Column("Resource", "The resource that is migrated."),
			meta.Column("Status", "How far the migration is."),
		},
		Row: func(m *storagemigrationv1.StorageVersionMigration, _ time.Time) []any {
			return []any{m.Name, m.Spec.Resource.String(), migrationStatus(m)}
		},
		Validate:       validateMigration,
		ValidateUpdate: validateMigrationUpdate,
		ValidateStatus: validateMigrationStatus,
	}.Resource()
}

func migrationStatus(m *storagemigrationv1.StorageVersionMigration) string {
	status := "Unknown"
	for _, c := range m.Status.Conditions {
		switch storagemigrationv1.MigrationConditionType(c.Type) {
		case storagemigrationv1.MigrationRunning, storagemigrationv1.MigrationFailed, storagemigrationv1.MigrationSucceeded:
			if c.Status == metav1.ConditionTrue {
				status = c.Type
			}
		}
	}
	return status
}
