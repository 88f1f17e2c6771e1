package podref

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NodeSecrets returns the Secrets of a volume that a node needs to mount it. Those that only a controller needs are left out.
func NodeSecrets(pv *corev1.PersistentVolume) []types.NamespacedName {
	claim := ""
	if pv.Spec.ClaimRef != nil {
		claim = pv.Spec.ClaimRef.Namespace
	}
	var found []types.NamespacedName
	add := func(namespace, name string) {
		if name != "" {
			found = append(found, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	// orClaim: where a reference names no namespace, the claim's is meant.
	orClaim := func(ref *corev1.SecretReference) {
		if ref != nil {
			add(cmp.Or(ref.Namespace, claim), ref.Name)
		}
	}
	exact := func(ref *corev1.SecretReference) {
		if ref != nil {
			add(ref.Namespace, ref.Name)
		}
	}
	source := &pv.Spec.PersistentVolumeSource
	switch {
	case source.CSI != nil:
		exact(source.CSI.NodePublishSecretRef)
		exact(source.CSI.NodeStageSecretRef)
		exact(source.CSI.NodeExpandSecretRef)
	case source.AzureFile != nil:
		namespace := claim
		if source.AzureFile.SecretNamespace != nil {
			namespace = cmp.Or(*source.AzureFile.SecretNamespace, claim)
		}
		add(namespace, source.AzureFile.SecretName)
	case source.CephFS != nil:
		orClaim(source.CephFS.SecretRef)
	case source.Cinder != nil:
		exact(source.Cinder.SecretRef)
	case source.FlexVolume != nil:
		orClaim(source.FlexVolume.SecretRef)
	case source.RBD != nil:
		orClaim(source.RBD.SecretRef)
	case source.ScaleIO != nil:
		orClaim(source.ScaleIO.SecretRef)
	case source.ISCSI != nil:
		orClaim(source.ISCSI.SecretRef)
	case source.StorageOS != nil:
		if ref := source.StorageOS.SecretRef; ref != nil {
			add(ref.Namespace, ref.Name)
		}
	}
	return found
}
