package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func persistentVolumeClaim() *api.Resource {
	return meta.Entry[*corev1.PersistentVolumeClaim]{
		Version: "v1", Kind: "PersistentVolumeClaim", Plural: "persistentvolumeclaims",
		Short:      []string{"pvc"},
		Namespaced: true,
		New:        meta.New[corev1.PersistentVolumeClaim],
		NewList:    meta.Empty[corev1.PersistentVolumeClaimList],
		Path:       "persistentvolumeclaims",
		Subresources: []api.Subresource{
			meta.Status(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), meta.Empty[corev1.PersistentVolumeClaim]),
		},
		Default: DefaultPersistentVolumeClaim,
		PrepareCreate: func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
			dropForeignNamespace(&c.Spec, nil)
			dropForeignDataSource(&c.Spec, nil)
			syncDataSources(&c.Spec)
		},
		PrepareUpdate: func(c, old *corev1.PersistentVolumeClaim) {
			c.Status = old.Status
			dropForeignNamespace(&c.Spec, &old.Spec)
			dropForeignDataSource(&c.Spec, &old.Spec)
			syncDataSources(&c.Spec)
		},
		PrepareStatus: func(c, old *corev1.PersistentVolumeClaim) {
			c.Spec = old.Spec
			meta.DropAlpha(&c.Status, &old.Status, func(s *corev1.PersistentVolumeClaimStatus) []meta.Slot {
				return []meta.Slot{meta.PointerSlot(&s.HealthStatus)}
			})
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             persistentVolumeClaimColumns(),
		Row:                 persistentVolumeClaimRow,
		Validate:            validateClaim,
		ValidateUpdate:      validateClaimUpdate,
		ValidateStatus:      validateClaimStatus,
		Warnings:            warnClaim,
	}.Resource()
}

// DefaultPersistentVolumeClaim fills in a claim; stateful sets carry claims as templates.
func DefaultPersistentVolumeClaim(c *corev1.PersistentVolumeClaim) {
	if c.Status.Phase == "" {
		c.Status.Phase = corev1.ClaimPending
	}
	defaultClaimSpec(&c.Spec)
	roundUp(c.Status.Capacity)
	roundUp(c.Status.AllocatedResources)
}

// snapshotGroup is the group of VolumeSnapshot, a kind that a custom resource definition brings.
const snapshotGroup = "snapshot.storage.k8s.io"

// dropForeignDataSource removes a dataSource that is neither a claim nor a snapshot: older clients set it carelessly, and it was
// always ignored. Objects that have one keep it, and dataSourceRef takes any kind.
func dropForeignDataSource(s, old *corev1.PersistentVolumeClaimSpec) {
	src := s.DataSource
	if src == nil || s.DataSourceRef != nil || old != nil && (old.DataSource != nil || old.DataSourceRef != nil) {
		return
	}
	group := meta.Deref(src.APIGroup)
	if src.Kind == "PersistentVolumeClaim" && group == "" || src.Kind == "VolumeSnapshot" && group == snapshotGroup {
		return
	}
	s.DataSource = nil
}

// dropForeignNamespace removes a source in another namespace, an alpha feature, unless the claim had a source reference before.
func dropForeignNamespace(s, old *corev1.PersistentVolumeClaimSpec) {
	if s.DataSourceRef != nil && meta.Deref(s.DataSourceRef.Namespace) != "" && (old == nil || old.DataSourceRef == nil) {
		s.DataSourceRef = nil
	}
}

// syncDataSources keeps dataSource and dataSourceRef the same unless the latter names another namespace.
func syncDataSources(s *corev1.PersistentVolumeClaimSpec) {
	switch {
	case s.DataSource != nil && s.DataSourceRef == nil:
		src := s.DataSource.DeepCopy()
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: src.APIGroup, Kind: src.Kind, Name: src.Name}
	case s.DataSource == nil && s.DataSourceRef != nil && meta.Deref(s.DataSourceRef.Namespace) == "":
		ref := s.DataSourceRef.DeepCopy()
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

func persistentVolumeClaimColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Status", status["phase"]),
		meta.Column("Volume", spec["volumeName"]),
		meta.Column("Capacity", status["capacity"]),
		meta.Column("Access Modes", status["accessModes"]),
		meta.Column("StorageClass", "The claim's StorageClass."),
		meta.Column("VolumeAttributesClass", "The claim's VolumeAttributesClass."),
		meta.AgeColumn(),
		meta.Wide(meta.Column("VolumeMode", spec["volumeMode"])),
	}
}

func persistentVolumeClaimRow(c *corev1.PersistentVolumeClaim, now time.Time) []any {
	phase := string(c.Status.Phase)
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	capacity, modes := "", ""
	if c.Spec.VolumeName != "" {
		size := c.Status.Capacity[corev1.ResourceStorage]
		capacity, modes = size.String(), accessModes(c.Status.AccessModes)
	}
	class, ok := c.Annotations[corev1.BetaStorageClassAnnotation]
	if !ok {
		class = meta.Deref(c.Spec.StorageClassName)
	}
	return []any{
		c.Name, phase, c.Spec.VolumeName, capacity, modes, class, orUnset(c.Spec.VolumeAttributesClassName), meta.Age(c, now),
		orUnset(c.Spec.VolumeMode),
	}
}
