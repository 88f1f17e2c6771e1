package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// appArmorFromAnnotations fills in the appArmorProfile field of containers that are named by the annotations which preceded
// it, unless the field says something itself. Windows pods have no AppArmor.
func appArmorFromAnnotations(p *corev1.Pod) {
	if p.Spec.OS != nil && p.Spec.OS.Name == corev1.Windows {
		return
	}
	for i := range p.Spec.InitContainers {
		appArmorContainer(p, p.Spec.InitContainers[i].Name, &p.Spec.InitContainers[i].SecurityContext)
	}
	for i := range p.Spec.Containers {
		appArmorContainer(p, p.Spec.Containers[i].Name, &p.Spec.Containers[i].SecurityContext)
	}
	for i := range p.Spec.EphemeralContainers {
		appArmorContainer(p, p.Spec.EphemeralContainers[i].Name, &p.Spec.EphemeralContainers[i].SecurityContext)
	}
}

func appArmorContainer(p *corev1.Pod, name string, sc **corev1.SecurityContext) {
	if *sc != nil && (*sc).AppArmorProfile != nil {
		return
	}
	profile := appArmorProfile(p.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+name])
	if profile == nil {
		return
	}
	if p.Spec.SecurityContext != nil && equality.Semantic.DeepEqual(profile, p.Spec.SecurityContext.AppArmorProfile) {
		return
	}
	if *sc == nil {
		*sc = &corev1.SecurityContext{}
	}
	(*sc).AppArmorProfile = profile
}

// appArmorProfile reads an annotation's value; nil when it means nothing valid.
func appArmorProfile(annotation string) *corev1.AppArmorProfile {
	switch annotation {
	case corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	local, ok := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
	if !ok || local == "" || strings.TrimSpace(local) != local || len(local) > 4095 {
		return nil
	}
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &local}
}
