package core

import (
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api/meta"
)

// stopSignalSlot also removes the lifecycle that it leaves empty.
type stopSignalSlot struct{ at **corev1.Lifecycle }

func (s stopSignalSlot) Used() bool { return (*s.at).StopSignal != nil }
func (s stopSignalSlot) Clear() {
	(*s.at).StopSignal = nil
	if **s.at == (corev1.Lifecycle{}) {
		*s.at = nil
	}
}

// DropAlphaTemplateFields drops the fields of alpha features from the pod template of a workload; old is nil on create.
func DropAlphaTemplateFields(t, old *corev1.PodTemplateSpec) {
	if old == nil {
		dropAlphaSpec(&t.Spec, nil)
	} else {
		dropAlphaSpec(&t.Spec, &old.Spec)
	}
	dropInitContainerAnnotations(t.Annotations)
}

func dropAlphaPodFields(p, old *corev1.Pod) {
	if old == nil {
		dropAlphaSpec(&p.Spec, nil)
		dropAlphaStatus(&p.Status, nil)
	} else {
		dropAlphaSpec(&p.Spec, &old.Spec)
		dropAlphaStatus(&p.Status, &old.Status)
	}
	dropInitContainerAnnotations(p.Annotations)
}

// dropInitContainerAnnotations removes what held init containers before they had a field.
func dropInitContainerAnnotations(annotations map[string]string) {
	for _, key := range []string{
		"pod.beta.kubernetes.io/init-containers", "pod.alpha.kubernetes.io/init-containers",
		"pod.beta.kubernetes.io/init-container-statuses", "pod.alpha.kubernetes.io/init-container-statuses",
	} {
		delete(annotations, key)
	}
}

func dropAlphaSpec(s, old *corev1.PodSpec) {
	meta.DropAlpha(s, old, volumeUserSlots, emptyDirModeSlots, bindMountSlots, probeModeSlots, probeProtocolSlots,
		stopSignalSlots,
		func(s *corev1.PodSpec) []meta.Slot { return []meta.Slot{meta.PointerSlot(&s.SchedulingGroup)} },
		func(s *corev1.PodSpec) []meta.Slot { return []meta.Slot{meta.ListSlot(&s.EvictionResponders)} })
}

func dropAlphaStatus(s, old *corev1.PodStatus) {
	meta.DropAlpha(s, old, mountStatusSlots,
		func(s *corev1.PodStatus) []meta.Slot { return []meta.Slot{meta.ListSlot(&s.VolumeHealth)} },
		func(s *corev1.PodStatus) []meta.Slot {
			return []meta.Slot{meta.ListSlot(&s.NodeAllocatableResourceClaimStatuses)}
		})
}

func everyContainer(s *corev1.PodSpec) []*corev1.Container {
	var out []*corev1.Container
	for i := range s.InitContainers {
		out = append(out, &s.InitContainers[i])
	}
	for i := range s.Containers {
		out = append(out, &s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		out = append(out, (*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return out
}

func bindMountSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for _, c := range everyContainer(s) {
		for i := range c.VolumeMounts {
			out = append(out, meta.ListSlot(&c.VolumeMounts[i].BindMountOptions))
		}
	}
	return out
}

func everyProbe(s *corev1.PodSpec) []*corev1.Probe {
	var out []*corev1.Probe
	for _, c := range everyContainer(s) {
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil {
				out = append(out, p)
			}
		}
	}
	return out
}

func probeModeSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for _, p := range everyProbe(s) {
		if p.GRPC != nil {
			out = append(out, meta.PointerSlot(&p.GRPC.Mode))
		}
	}
	return out
}

func probeProtocolSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for _, p := range everyProbe(s) {
		if p.HTTPGet != nil {
			out = append(out, meta.PointerSlot(&p.HTTPGet.Protocol))
		}
	}
	for _, c := range everyContainer(s) {
		if c.Lifecycle == nil {
			continue
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil && h.HTTPGet != nil {
				out = append(out, meta.PointerSlot(&h.HTTPGet.Protocol))
			}
		}
	}
	return out
}

func stopSignalSlots(s *corev1.PodSpec) []meta.Slot {
	var out []meta.Slot
	for _, c := range everyContainer(s) {
		if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
			out = append(out, stopSignalSlot{&c.Lifecycle})
		}
	}
	return out
}

func mountStatusSlots(s *corev1.PodStatus) []meta.Slot {
	var out []meta.Slot
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			for k := range list[i].VolumeMounts {
				out = append(out, meta.PointerSlot(&list[i].VolumeMounts[k].VolumeStatus))
			}
		}
	}
	return out
}
