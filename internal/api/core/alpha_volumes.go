package core

import (
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api/meta"
)

func emptyDirModeSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Volumes {
		if e := s.Volumes[i].EmptyDir; e != nil {
			out = append(out, meta.PointerSlot(&e.Mode))
		}
	}
	return out
}

// volumeUserSlots are the owners of files in volumes that the node agent writes.
func volumeUserSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for i := range s.Volumes {
		v := &s.Volumes[i]
		switch {
		case v.Secret != nil:
			out = append(append(out, meta.PointerSlot(&v.Secret.DefaultUser)), keyUserSlots(v.Secret.Items)...)
		case v.ConfigMap != nil:
			out = append(append(out, meta.PointerSlot(&v.ConfigMap.DefaultUser)), keyUserSlots(v.ConfigMap.Items)...)
		case v.DownwardAPI != nil:
			out = append(append(out, meta.PointerSlot(&v.DownwardAPI.DefaultUser)), fileUserSlots(v.DownwardAPI.Items)...)
		case v.Projected != nil:
			out = append(out, meta.PointerSlot(&v.Projected.DefaultUser))
			for k := range v.Projected.Sources {
				out = append(out, projectionUserSlots(&v.Projected.Sources[k])...)
			}
		}
	}
	return out
}

func projectionUserSlots(p *corev1.VolumeProjection) []meta.Slot {
	switch {
	case p.Secret != nil:
		return keyUserSlots(p.Secret.Items)
	case p.DownwardAPI != nil:
		return fileUserSlots(p.DownwardAPI.Items)
	case p.ConfigMap != nil:
		return keyUserSlots(p.ConfigMap.Items)
	case p.ServiceAccountToken != nil:
		return []meta.Slot{meta.PointerSlot(&p.ServiceAccountToken.User)}
	case p.ClusterTrustBundle != nil:
		return []meta.Slot{meta.PointerSlot(&p.ClusterTrustBundle.User)}
	case p.PodCertificate != nil:
		return []meta.Slot{meta.PointerSlot(&p.PodCertificate.User)}
	}
	return nil
}

func keyUserSlots(items []corev1.KeyToPath) []meta.Slot {
	var out []meta.Slot
	for i := range items {
		out = append(out, meta.PointerSlot(&items[i].User))
	}
	return out
}

func fileUserSlots(items []corev1.DownwardAPIVolumeFile) []meta.Slot {
	var out []meta.Slot
	for i := range items {
		out = append(out, meta.PointerSlot(&items[i].User))
	}
	return out
}
