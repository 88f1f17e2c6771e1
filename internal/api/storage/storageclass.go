package storage

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

// Annotations that make a class the one for claims that name none; the second is the older name.
const (
	defaultClassAnnotation     = "storageclass.kubernetes.io/is-default-class"
	betaDefaultClassAnnotation = "storageclass.beta.kubernetes.io/is-default-class"
)

func storageClass() *api.Resource {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return meta.Entry[*storagev1.StorageClass]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "StorageClass", Plural: "storageclasses",
		Short:   []string{"sc"},
		New:     meta.New[storagev1.StorageClass],
		NewList: meta.Empty[storagev1.StorageClassList],
		Path:    "storageclasses",
		Default: func(c *storagev1.StorageClass) {
			if c.ReclaimPolicy == nil {
				c.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
			}
			if c.VolumeBindingMode == nil {
				c.VolumeBindingMode = new(storagev1.VolumeBindingImmediate)
			}
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Provisioner", doc["provisioner"]),
			meta.Column("ReclaimPolicy", doc["reclaimPolicy"]),
			meta.Column("VolumeBindingMode", doc["volumeBindingMode"]),
			meta.Column("AllowVolumeExpansion", doc["allowVolumeExpansion"]),
			meta.AgeColumn(),
		},
		Row:            storageClassRow,
		Validate:       validateStorageClass,
		ValidateUpdate: validateStorageClassUpdate,
		Warnings:       warnStorageClass,
	}.Resource()
}

// storageClassRow marks a class as default by its own annotation. Upstream marks only the newest of several, and none when a
// single class is asked for; a row here does not see the others.
func storageClassRow(c *storagev1.StorageClass, now time.Time) []any {
	name := c.Name
	if c.Annotations[defaultClassAnnotation] == "true" || c.Annotations[betaDefaultClassAnnotation] == "true" {
		name += " (default)"
	}
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	if c.ReclaimPolicy != nil {
		reclaim = *c.ReclaimPolicy
	}
	if c.VolumeBindingMode != nil {
		binding = *c.VolumeBindingMode
	}
	return []any{
		name, c.Provisioner, string(reclaim), string(binding), meta.Deref(c.AllowVolumeExpansion), meta.Age(c, now),
	}
}
