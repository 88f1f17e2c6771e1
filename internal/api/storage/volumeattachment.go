package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

func volumeAttachment() *api.Resource {
	spec := storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	attacher := meta.Column("Attacher", spec["attacher"])
	attacher.Format = "name"
	return meta.Entry[*storagev1.VolumeAttachment]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "VolumeAttachment", Plural: "volumeattachments",
		New:     meta.New[storagev1.VolumeAttachment],
		NewList: meta.Empty[storagev1.VolumeAttachmentList],
		Path:    "volumeattachments",
		Subresources: []api.Subresource{
			meta.Status(storagev1.SchemeGroupVersion.WithKind("VolumeAttachment"), meta.Empty[storagev1.VolumeAttachment],
				"metadata", "spec"),
		},
		Default: func(a *storagev1.VolumeAttachment) {
			if inline := a.Spec.Source.InlineVolumeSpec; inline != nil {
				core.DefaultPersistentVolumeSpec(inline)
			}
		},
		PrepareCreate: func(a *storagev1.VolumeAttachment) { a.Status = storagev1.VolumeAttachmentStatus{} },
		PrepareUpdate: func(a, old *storagev1.VolumeAttachment) { a.Status = old.Status },
		PrepareStatus: func(a, old *storagev1.VolumeAttachment) {
			a.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&a.ObjectMeta, &old.ObjectMeta)
		},
		ReturnDeleted: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			attacher,
			meta.Column("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"]),
			meta.Column("Node", spec["nodeName"]),
			meta.Typed("Attached", "boolean", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"]),
			meta.AgeColumn(),
		},
		Row: func(a *storagev1.VolumeAttachment, now time.Time) []any {
			volume := meta.Deref(a.Spec.Source.PersistentVolumeName)
			return []any{a.Name, a.Spec.Attacher, volume, a.Spec.NodeName, a.Status.Attached, meta.Age(a, now)}
		},
		Indexes: map[string]func(*storagev1.VolumeAttachment) []string{
			api.IndexNode: func(a *storagev1.VolumeAttachment) []string { return []string{a.Spec.NodeName} },
		},
		Validate:       validateAttachment,
		ValidateUpdate: validateAttachmentUpdate,
		ValidateStatus: validateAttachmentUpdate,
	}.Resource()
}
