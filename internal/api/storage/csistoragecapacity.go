package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func csiStorageCapacity() *api.Resource {
	doc := storagev1.CSIStorageCapacity{}.SwaggerDoc()
	return meta.Entry[*storagev1.CSIStorageCapacity]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "CSIStorageCapacity", Plural: "csistoragecapacities",
		Namespaced: true,
		New:        meta.New[storagev1.CSIStorageCapacity],
		NewList:    meta.Empty[storagev1.CSIStorageCapacityList],
		Path:       "csistoragecapacities",
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("StorageClassName", doc["storageClassName"]),
			meta.Column("Capacity", doc["capacity"]),
		},
		Row: func(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
			capacity := meta.Unset
			if c.Capacity != nil {
				capacity = c.Capacity.String()
			}
			return []any{c.Name, c.StorageClassName, capacity}
		},
		Validate:       validateCapacity,
		ValidateUpdate: validateCapacityUpdate,
		Warnings:       warnCapacity,
	}.Resource()
}
