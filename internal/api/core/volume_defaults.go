package core

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
)

// projectedTokenSeconds is how long a projected service account token lives when its source does not say.
const projectedTokenSeconds = 3600

func defaultVolume(v *corev1.Volume) {
	if reflect.ValueOf(v.VolumeSource).IsZero() {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	setIfNil(v.HostPath != nil, func() **corev1.HostPathType { return &v.HostPath.Type }, corev1.HostPathUnset)
	setIfNil(v.Secret != nil, func() **int32 { return &v.Secret.DefaultMode }, corev1.SecretVolumeSourceDefaultMode)
	setIfNil(v.ConfigMap != nil, func() **int32 { return &v.ConfigMap.DefaultMode }, corev1.ConfigMapVolumeSourceDefaultMode)
	if v.Image != nil && v.Image.PullPolicy == "" {
		v.Image.PullPolicy = pullPolicy(v.Image.Reference)
	}
	if v.ISCSI != nil {
		setIfEmpty(&v.ISCSI.ISCSIInterface, "default")
	}
	if v.RBD != nil {
		defaultRBD(&v.RBD.RBDPool, &v.RBD.RadosUser, &v.RBD.Keyring)
	}
	if v.ScaleIO != nil {
		defaultScaleIO(&v.ScaleIO.StorageMode, &v.ScaleIO.FSType)
	}
	defaultAzureDisk(v.AzureDisk)
	if v.DownwardAPI != nil {
		setIfNil(true, func() **int32 { return &v.DownwardAPI.DefaultMode }, corev1.DownwardAPIVolumeSourceDefaultMode)
		defaultDownwardItems(v.DownwardAPI.Items)
	}
	defaultProjected(v.Projected)
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		defaultClaimSpec(&v.Ephemeral.VolumeClaimTemplate.Spec)
	}
}

func defaultProjected(p *corev1.ProjectedVolumeSource) {
	if p == nil {
		return
	}
	setIfNil(true, func() **int32 { return &p.DefaultMode }, corev1.ProjectedVolumeSourceDefaultMode)
	for i := range p.Sources {
		s := &p.Sources[i]
		if s.DownwardAPI != nil {
			defaultDownwardItems(s.DownwardAPI.Items)
		}
		if s.ServiceAccountToken != nil && s.ServiceAccountToken.ExpirationSeconds == nil {
			s.ServiceAccountToken.ExpirationSeconds = new(int64(projectedTokenSeconds))
		}
	}
}

func defaultDownwardItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		defaultFieldRef(items[i].FieldRef)
	}
}

func defaultRBD(pool, user, keyring *string) {
	setIfEmpty(pool, "rbd")
	setIfEmpty(user, "admin")
	setIfEmpty(keyring, "/etc/ceph/keyring")
}

func defaultScaleIO(mode, fsType *string) {
	setIfEmpty(mode, "ThinProvisioned")
	setIfEmpty(fsType, "xfs")
}

func defaultAzureDisk(d *corev1.AzureDiskVolumeSource) {
	if d == nil {
		return
	}
	if d.CachingMode == nil {
		d.CachingMode = new(corev1.AzureDataDiskCachingReadWrite)
	}
	if d.FSType == nil {
		d.FSType = new("ext4")
	}
	if d.ReadOnly == nil {
		d.ReadOnly = new(bool)
	}
	if d.Kind == nil {
		d.Kind = new(corev1.AzureSharedBlobDisk)
	}
}

// DefaultPersistentVolumeSource fills in the volume source of a persistent volume; volume attachments carry one inline.
func DefaultPersistentVolumeSource(v *corev1.PersistentVolumeSource) {
	setIfNil(v.HostPath != nil, func() **corev1.HostPathType { return &v.HostPath.Type }, corev1.HostPathUnset)
	if v.ISCSI != nil {
		setIfEmpty(&v.ISCSI.ISCSIInterface, "default")
	}
	if v.RBD != nil {
		defaultRBD(&v.RBD.RBDPool, &v.RBD.RadosUser, &v.RBD.Keyring)
	}
	if v.ScaleIO != nil {
		defaultScaleIO(&v.ScaleIO.StorageMode, &v.ScaleIO.FSType)
	}
	defaultAzureDisk(v.AzureDisk)
}

// DefaultPersistentVolumeSpec fills in the spec of a persistent volume, but for the reclaim policy and volume mode.
func DefaultPersistentVolumeSpec(s *corev1.PersistentVolumeSpec) {
	roundUp(s.Capacity)
	DefaultPersistentVolumeSource(&s.PersistentVolumeSource)
}

func defaultClaimSpec(s *corev1.PersistentVolumeClaimSpec) {
	if s.VolumeMode == nil {
		s.VolumeMode = new(corev1.PersistentVolumeFilesystem)
	}
	roundUp(s.Resources.Limits)
	roundUp(s.Resources.Requests)
}

// setIfNil points *at to value when the source is there and holds no value yet.
func setIfNil[T any](present bool, at func() **T, value T) {
	if !present {
		return
	}
	if p := at(); *p == nil {
		*p = new(value)
	}
}

func setIfEmpty(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
