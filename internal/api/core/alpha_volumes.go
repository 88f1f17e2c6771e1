package core

import (
	corev1 "k8s.io/api/core/v1"
)

func emptyDirModeSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for i := range s.Volumes {
		if e := s.Volumes[i].EmptyDir; e != nil {
			out = append(out, pointer(&e.Mode))
		}
	}
	return out
}

// volumeUserSlots are the owners of files in volumes that the node agent writes.
func volumeUserSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for i := range s.Volumes {
		v := &s.Volumes[i]
		switch {
		case v.Secret != nil:
			out = append(append(out, pointer(&v.Secret.DefaultUser)), keyUserSlots(v.Secret.Items)...)
		case v.ConfigMap != nil:
			out = append(append(out, pointer(&v.ConfigMap.DefaultUser)), keyUserSlots(v.ConfigMap.Items)...)
		case v.DownwardAPI != nil:
			out = append(append(out, pointer(&v.DownwardAPI.DefaultUser)), fileUserSlots(v.DownwardAPI.Items)...)
		case v.Projected != nil:
			out = append(out, pointer(&v.Projected.DefaultUser))
			for k := range v.Projected.Sources {
				out = append(out, projectionUserSlots(&v.Projected.Sources[k])...)
			}
		}
	}
	return out
}

func projectionUserSlots(p *corev1.VolumeProjection) []slot {
	switch {
	case p.Secret != nil:
		return keyUserSlots(p.Secret.Items)
	case p.DownwardAPI != nil:
		return fileUserSlots(p.DownwardAPI.Items)
	case p.ConfigMap != nil:
		return keyUserSlots(p.ConfigMap.Items)
	case p.ServiceAccountToken != nil:
		return []slot{pointer(&p.ServiceAccountToken.User)}
	case p.ClusterTrustBundle != nil:
		return []slot{pointer(&p.ClusterTrustBundle.User)}
	case p.PodCertificate != nil:
		return []slot{pointer(&p.PodCertificate.User)}
	}
	return nil
}

func keyUserSlots(items []corev1.KeyToPath) []slot {
	var out []slot
	for i := range items {
		out = append(out, pointer(&items[i].User))
	}
	return out
}

func fileUserSlots(items []corev1.DownwardAPIVolumeFile) []slot {
	var out []slot
	for i := range items {
		out = append(out, pointer(&items[i].User))
	}
	return out
}
