package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func csiNode() *api.Resource {
	return meta.Entry[*storagev1.CSINode]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "CSINode", Plural: "csinodes",
		New:     meta.New[storagev1.CSINode],
		NewList: meta.Empty[storagev1.CSINodeList],
		Path:    "csinodes",
		Subresources: []api.Subresource{
			meta.Status(storagev1.SchemeGroupVersion.WithKind("CSINode"), meta.Empty[storagev1.CSINode], "metadata", "spec"),
		},
		PrepareCreate: func(n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} },
		PrepareUpdate: func(n, old *storagev1.CSINode) { n.Status = old.Status },
		PrepareStatus: func(n, old *storagev1.CSINode) {
			n.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&n.ObjectMeta, &old.ObjectMeta)
			// Volume health is an alpha feature and off; reports that are there already stay writable.
			if len(old.Status.StorageHealth) == 0 {
				n.Status.StorageHealth = nil
			}
		},
		ReturnDeleted: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Drivers", "integer", storagev1.CSINodeSpec{}.SwaggerDoc()["drivers"]),
			meta.AgeColumn(),
		},
		Row: func(n *storagev1.CSINode, now time.Time) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), meta.Age(n, now)}
		},
		Validate:       validateCSINode,
		ValidateUpdate: validateCSINodeUpdate,
		ValidateStatus: validateCSINodeStatus,
	}.Resource()
}
