package podref

import (
	"fmt"
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// Containers yields every container of a pod: init, regular, and ephemeral ones as plain containers.
func Containers(spec *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.InitContainers {
			if !yield(&spec.InitContainers[i]) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(&spec.Containers[i]) {
				return
			}
		}
		for i := range spec.EphemeralContainers {
			c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(&c) {
				return
			}
		}
	}
}

// Secrets returns the names of the Secrets that the pod itself names, each once. Claims and volumes may lead to more.
func Secrets(pod *corev1.Pod) []string {
	var names nameSet
	for _, ref := range pod.Spec.ImagePullSecrets {
		names.add(ref.Name)
	}
	for c := range Containers(&pod.Spec) {
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil {
				names.add(from.SecretRef.Name)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
				names.add(env.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for i := range pod.Spec.Volumes {
		volumeSecrets(&pod.Spec.Volumes[i].VolumeSource, &names)
	}
	return names.list
}

// volumeSecrets looks at the one member of the source that is set.
func volumeSecrets(source *corev1.VolumeSource, names *nameSet) {
	local := func(ref *corev1.LocalObjectReference) {
		if ref != nil {
			names.add(ref.Name)
		}
	}
	switch {
	case source.Secret != nil:
		names.add(source.Secret.SecretName)
	case source.Projected != nil:
		for _, from := range source.Projected.Sources {
			if from.Secret != nil {
				names.add(from.Secret.Name)
			}
		}
	case source.CSI != nil:
		local(source.CSI.NodePublishSecretRef)
	case source.AzureFile != nil:
		names.add(source.AzureFile.SecretName)
	case source.CephFS != nil:
		local(source.CephFS.SecretRef)
	case source.Cinder != nil:
		local(source.Cinder.SecretRef)
	case source.FlexVolume != nil:
		local(source.FlexVolume.SecretRef)
	case source.RBD != nil:
		local(source.RBD.SecretRef)
	case source.ScaleIO != nil:
		local(source.ScaleIO.SecretRef)
	case source.ISCSI != nil:
		local(source.ISCSI.SecretRef)
	case source.StorageOS != nil:
		local(source.StorageOS.SecretRef)
	}
}

// ConfigMaps returns the names of the ConfigMaps that the pod names, each once.
func ConfigMaps(pod *corev1.Pod) []string {
	var names nameSet
	for c := range Containers(&pod.Spec) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				names.add(from.ConfigMapRef.Name)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.ConfigMapKeyRef != nil {
				names.add(env.ValueFrom.ConfigMapKeyRef.Name)
			}
		}
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.ConfigMap != nil {
			names.add(volume.ConfigMap.Name)
		}
		if volume.Projected == nil {
			continue
		}
		for _, from := range volume.Projected.Sources {
			if from.ConfigMap != nil {
				names.add(from.ConfigMap.Name)
			}
		}
	}
	return names.list
}

// Claims returns the names of the PersistentVolumeClaims that the pod uses, those of its ephemeral volumes included.
func Claims(pod *corev1.Pod) []string {
	var names nameSet
	for i := range pod.Spec.Volumes {
		names.add(ClaimOf(pod, &pod.Spec.Volumes[i]))
	}
	return names.list
}

// ClaimOf returns the name of the claim behind one volume, empty when there is none.
func ClaimOf(pod *corev1.Pod, volume *corev1.Volume) string {
	switch {
	case volume.PersistentVolumeClaim != nil:
		return volume.PersistentVolumeClaim.ClaimName
	case volume.Ephemeral != nil:
		return pod.Name + "-" + volume.Name
	}
	return ""
}

// ResourceClaims returns the names of the ResourceClaims that the pod names or that were made for it.
func ResourceClaims(pod *corev1.Pod) []string {
	var names nameSet
	for _, claim := range pod.Spec.ResourceClaims {
		if claim.ResourceClaimName != nil {
			names.add(*claim.ResourceClaimName)
		}
	}
	for _, made := range pod.Status.ResourceClaimStatuses {
		if made.ResourceClaimName != nil {
			names.add(*made.ResourceClaimName)
		}
	}
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil {
		names.add(extended.ResourceClaimName)
	}
	return names.list
}

// IsMirror tells whether the pod is a node's picture of a static pod.
func IsMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// APIObject returns in words what kind of other object the pod depends on, empty when on none. An error says that a volume's
// kind is unknown, so that nothing can be said.
func APIObject(pod *corev1.Pod) (string, error) {
	switch {
	case pod.Spec.ServiceAccountName != "":
		return "serviceaccounts", nil
	case len(Secrets(pod)) > 0:
		return "secrets", nil
	case len(ConfigMaps(pod)) > 0:
		return "configmaps", nil
	case len(pod.Spec.ResourceClaims) > 0:
		return "resourceclaims", nil
	}
	for i := range pod.Spec.Volumes {
		kind, err := volumeObject(&pod.Spec.Volumes[i])
		if kind != "" || err != nil {
			return kind, err
		}
	}
	return "", nil
}

func volumeObject(v *corev1.Volume) (string, error) {
	switch {
	case v.AWSElasticBlockStore != nil, v.AzureDisk != nil, v.CephFS != nil, v.Cinder != nil, v.DownwardAPI != nil,
		v.EmptyDir != nil, v.FC != nil, v.FlexVolume != nil, v.Flocker != nil, v.GCEPersistentDisk != nil, v.GitRepo != nil,
		v.HostPath != nil, v.Image != nil, v.ISCSI != nil, v.NFS != nil, v.PhotonPersistentDisk != nil, v.PortworxVolume != nil,
		v.Quobyte != nil, v.RBD != nil, v.ScaleIO != nil, v.StorageOS != nil, v.VsphereVolume != nil:
		return "", nil
	case v.ConfigMap != nil:
		return "configmaps (via configmap volumes)", nil
	case v.Secret != nil:
		return "secrets (via secret volumes)", nil
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)", nil
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)", nil
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims", nil
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)", nil
	case v.AzureFile != nil:
		return "secrets (via azureFile volumes)", nil
	case v.Projected != nil:
		return projectedObject(v)
	}
	return "", fmt.Errorf("unknown volume type for volume %q", v.Name)
}

func projectedObject(v *corev1.Volume) (string, error) {
	for _, s := range v.Projected.Sources {
		switch {
		case s.DownwardAPI != nil:
		case s.ConfigMap != nil:
			return "configmaps (via projected volumes)", nil
		case s.Secret != nil:
			return "secrets (via projected volumes)", nil
		case s.ServiceAccountToken != nil:
			return "serviceaccounts (via projected volumes)", nil
		case s.ClusterTrustBundle != nil:
			return "clustertrustbundles", nil
		case s.PodCertificate != nil:
			return "podcertificates", nil
		default:
			return "", fmt.Errorf("unknown source for projected volume %q", v.Name)
		}
	}
	return "", nil
}

// nameSet is a list of names without empty and double ones.
type nameSet struct{ list []string }

func (s *nameSet) add(name string) {
	if name == "" {
		return
	}
	for _, have := range s.list {
		if have == name {
			return
		}
	}
	s.list = append(s.list, name)
}
