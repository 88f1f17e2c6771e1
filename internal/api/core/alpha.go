package core

import (
	corev1 "k8s.io/api/core/v1"
)

// Fields of alpha features, which are off by default, are dropped on writes unless the object has one of the same feature
// already: then somebody had the feature on, and turning it off must not break the object. This follows the feature gates of
// Kubernetes v1.37.

// slot is one field of an alpha feature in one object.
type slot interface {
	used() bool
	clear()
}

type pointerSlot[T any] struct{ at **T }

func (s pointerSlot[T]) used() bool { return *s.at != nil }
func (s pointerSlot[T]) clear()     { *s.at = nil }

type listSlot[T any] struct{ at *[]T }

func (s listSlot[T]) used() bool { return len(*s.at) > 0 }
func (s listSlot[T]) clear()     { *s.at = nil }

func pointer[T any](at **T) slot { return pointerSlot[T]{at} }

// stopSignalSlot also removes the lifecycle that it leaves empty.
type stopSignalSlot struct{ at **corev1.Lifecycle }

func (s stopSignalSlot) used() bool { return (*s.at).StopSignal != nil }
func (s stopSignalSlot) clear() {
	(*s.at).StopSignal = nil
	if **s.at == (corev1.Lifecycle{}) {
		*s.at = nil
	}
}

// DropAlphaTemplateFields does so for the pod template of a workload; old is nil on create.
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
	for _, feature := range []func(*corev1.PodSpec) []slot{
		volumeUserSlots, emptyDirModeSlots, bindMountSlots, probeModeSlots, probeProtocolSlots, stopSignalSlots,
		func(s *corev1.PodSpec) []slot { return []slot{pointer(&s.SchedulingGroup)} },
		func(s *corev1.PodSpec) []slot {
			return []slot{listSlot[corev1.EvictionResponder]{&s.EvictionResponders}}
		},
	} {
		drop(feature, s, old)
	}
}

func dropAlphaStatus(s, old *corev1.PodStatus) {
	for _, feature := range []func(*corev1.PodStatus) []slot{
		mountStatusSlots,
		func(s *corev1.PodStatus) []slot { return []slot{listSlot[corev1.PodVolumeHealth]{&s.VolumeHealth}} },
		func(s *corev1.PodStatus) []slot {
			return []slot{listSlot[corev1.NodeAllocatableResourceClaimStatus]{&s.NodeAllocatableResourceClaimStatuses}}
		},
	} {
		drop(feature, s, old)
	}
}

func drop[T any](feature func(*T) []slot, obj, old *T) {
	if old != nil {
		for _, s := range feature(old) {
			if s.used() {
				return
			}
		}
	}
	for _, s := range feature(obj) {
		s.clear()
	}
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

func bindMountSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for _, c := range everyContainer(s) {
		for i := range c.VolumeMounts {
			out = append(out, listSlot[string]{&c.VolumeMounts[i].BindMountOptions})
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

func probeModeSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for _, p := range everyProbe(s) {
		if p.GRPC != nil {
			out = append(out, pointer(&p.GRPC.Mode))
		}
	}
	return out
}

func probeProtocolSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for _, p := range everyProbe(s) {
		if p.HTTPGet != nil {
			out = append(out, pointer(&p.HTTPGet.Protocol))
		}
	}
	for _, c := range everyContainer(s) {
		if c.Lifecycle == nil {
			continue
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil && h.HTTPGet != nil {
				out = append(out, pointer(&h.HTTPGet.Protocol))
			}
		}
	}
	return out
}

func stopSignalSlots(s *corev1.PodSpec) []slot {
	var out []slot
	for _, c := range everyContainer(s) {
		if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
			out = append(out, stopSignalSlot{&c.Lifecycle})
		}
	}
	return out
}

func mountStatusSlots(s *corev1.PodStatus) []slot {
	var out []slot
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			for k := range list[i].VolumeMounts {
				out = append(out, pointer(&list[i].VolumeMounts[k].VolumeStatus))
			}
		}
	}
	return out
}
