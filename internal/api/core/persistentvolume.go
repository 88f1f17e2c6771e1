package core

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func persistentVolume() *api.Resource {
	return meta.Entry[*corev1.PersistentVolume]{
		Version: "v1", Kind: "PersistentVolume", Plural: "persistentvolumes",
		Short:   []string{"pv"},
		New:     meta.New[corev1.PersistentVolume],
		NewList: meta.Empty[corev1.PersistentVolumeList],
		Path:    "persistentvolumes",
		Subresources: []api.Subresource{
			meta.Status(corev1.SchemeGroupVersion.WithKind("PersistentVolume"), meta.Empty[corev1.PersistentVolume]),
		},
		Default: defaultPersistentVolume,
		PrepareCreate: func(v *corev1.PersistentVolume) {
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
		},
		PrepareUpdate:       func(v, old *corev1.PersistentVolume) { v.Status = old.Status },
		PrepareStatus:       func(v, old *corev1.PersistentVolume) { v.Spec = old.Spec },
		Stamp:               stampVolumePhase,
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             persistentVolumeColumns(),
		Row:                 persistentVolumeRow,
		Validate:            validateVolume,
		ValidateUpdate:      validateVolumeUpdate,
		Warnings:            warnVolume,
	}.Resource()
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	if v.Status.Phase == "" {
		v.Status.Phase = corev1.VolumePending
	}
	if v.Spec.PersistentVolumeReclaimPolicy == "" {
		v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	if v.Spec.VolumeMode == nil {
		v.Spec.VolumeMode = new(corev1.PersistentVolumeFilesystem)
	}
	DefaultPersistentVolumeSpec(&v.Spec)
}

// stampVolumePhase notes when the phase changed, unless the writer says when.
func stampVolumePhase(v, old *corev1.PersistentVolume, now time.Time) {
	t := metav1.NewTime(now)
	switch s := &v.Status; {
	case old == nil:
		s.LastPhaseTransitionTime = &t
	case old.Status.Phase == s.Phase && s.LastPhaseTransitionTime == nil:
		s.LastPhaseTransitionTime = old.Status.LastPhaseTransitionTime
	case old.Status.Phase != s.Phase &&
		(s.LastPhaseTransitionTime == nil || s.LastPhaseTransitionTime.Equal(old.Status.LastPhaseTransitionTime)):
		s.LastPhaseTransitionTime = &t
	}
}

func persistentVolumeColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Capacity", spec["capacity"]),
		meta.Column("Access Modes", spec["accessModes"]),
		meta.Column("Reclaim Policy", spec["persistentVolumeReclaimPolicy"]),
		meta.Column("Status", status["phase"]),
		meta.Column("Claim", spec["claimRef"]),
		meta.Column("StorageClass", "The volume's StorageClass."),
		meta.Column("VolumeAttributesClass", "The volume's VolumeAttributesClass."),
		meta.Column("Reason", status["reason"]),
		meta.AgeColumn(),
		meta.Wide(meta.Column("VolumeMode", spec["volumeMode"])),
	}
}

func persistentVolumeRow(v *corev1.PersistentVolume, now time.Time) []any {
	claim := ""
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	phase := string(v.Status.Phase)
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	class, ok := v.Annotations[corev1.BetaStorageClassAnnotation]
	if !ok {
		class = v.Spec.StorageClassName
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	return []any{
		v.Name, size.String(), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim, class,
		orUnset(v.Spec.VolumeAttributesClassName), v.Status.Reason, meta.Age(v, now), orUnset(v.Spec.VolumeMode),
	}
}

// accessModes writes modes in their short form and upstream's fixed order.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"},
		{corev1.ReadOnlyMany, "ROX"},
		{corev1.ReadWriteMany, "RWX"},
		{corev1.ReadWriteOncePod, "RWOP"},
	} {
		if slices.Contains(modes, m.mode) {
			out = append(out, m.short)
		}
	}
	return strings.Join(out, ",")
}

func orUnset[T ~string](s *T) string {
	if s == nil {
		return meta.Unset
	}
	return string(*s)
}
