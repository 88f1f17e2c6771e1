package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func volumeAttributesClass() *api.Resource {
	return meta.Entry[*storagev1.VolumeAttributesClass]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "VolumeAttributesClass", Plural: "volumeattributesclasses",
		Short:               []string{"vac"},
		New:                 meta.New[storagev1.VolumeAttributesClass],
		NewList:             meta.Empty[storagev1.VolumeAttributesClassList],
		Path:                "volumeattributesclasses",
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]),
			meta.AgeColumn(),
		},
		Row: func(c *storagev1.VolumeAttributesClass, now time.Time) []any {
			return []any{c.Name, c.DriverName, meta.Age(c, now)}
		},
		Validate:       validateAttributesClass,
		ValidateUpdate: validateAttributesClassUpdate,
	}.Resource()
}
