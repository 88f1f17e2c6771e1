package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodResize judges a write to the resize subresource: CPU and memory of containers and of the pod change, nothing else.
func validatePodResize(p, old *corev1.Pod) field.ErrorList {
	whole := field.NewPath("")
	if isMirror(&old.ObjectMeta) {
		return field.ErrorList{field.Forbidden(whole, "static pods cannot be resized")}
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(whole, "windows pods cannot be resized")}
	}
	at := specAt()
	errs := validateWholePod(p, changeRules(old))
	if QOSClass(old) != ComputeQOSClass(p) {
		errs = append(errs, field.Invalid(at, p.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !nodeCanResize(old) {
		errs = append(errs, field.Forbidden(at, "Pod running on node without support for resize"))
	}
	rest := p.Spec.DeepCopy()
	if hasPodResources(p) || hasPodResources(old) {
		errs = append(errs, validatePodLevelResize(at, rest, p, old)...)
	}
	if bad := validateSameContainers(at, p, old); len(bad) > 0 {
		return append(errs, bad...)
	}
	errs = slices.Concat(errs,
		validateResources(at.Child("initContainers"), p.Spec.InitContainers, old.Spec.InitContainers),
		validateResources(at.Child("containers"), p.Spec.Containers, old.Spec.Containers),
		validateResizedContainers(at, rest, &old.Spec))
	if !equality.Semantic.DeepEqual(p.Spec.Volumes, old.Spec.Volumes) {
		errs = append(errs, field.Forbidden(at.Child("volumes"),
			"volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled"))
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(at, "only cpu and memory resources are mutable"))
	}
	return errs
}

func hasPodResources(p *corev1.Pod) bool {
	return p.Spec.Resources != nil && len(p.Spec.Resources.Requests)+len(p.Spec.Resources.Limits) > 0
}

// nodeCanResize reads off the status whether the node's agent knows how to resize: then it reports what a container has.
func nodeCanResize(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		if c := &p.Status.ContainerStatuses[i]; c.State.Running != nil {
			return c.Resources != nil
		}
	}
	return true
}

// validatePodLevelResize judges the pod's own resources and puts CPU and memory in rest back as they were.
func validatePodLevelResize(at *field.Path, rest *corev1.PodSpec, p, old *corev1.Pod) field.ErrorList {
	resources := at.Child("resources")
	is, was := p.Spec.Resources, old.Spec.Resources
	if was != nil && is == nil {
		return field.ErrorList{field.Forbidden(resources, "pod-level resources cannot be removed")}
	}
	var errs field.ErrorList
	if was != nil && removesAny(is.Requests, was.Requests) {
		errs = append(errs, field.Forbidden(resources.Child("requests"), "pod-level resource requests cannot be removed"))
	}
	if was != nil && removesAny(is.Limits, was.Limits) {
		errs = append(errs, field.Forbidden(resources.Child("limits"), "pod-level resource limits cannot be removed"))
	}
	before := corev1.ResourceRequirements{}
	if was != nil {
		before = *was
	}
	r := rest.Resources
	r.Requests = withComputeOf(r.Requests, before.Requests)
	r.Limits = withComputeOf(r.Limits, before.Limits)
	if was == nil && len(r.Requests)+len(r.Limits)+len(r.Claims) == 0 {
		rest.Resources = nil
	}
	if !equality.Semantic.DeepEqual(rest.Resources, was) {
		errs = append(errs, field.Forbidden(at, "only cpu and memory resources are mutable at pod-level"))
	}
	return errs
}

// withComputeOf returns the list with CPU and memory taken from another one.
func withComputeOf(list, from corev1.ResourceList) corev1.ResourceList {
	if list == nil && from == nil {
		return nil
	}
	out := corev1.ResourceList{}
	for name, q := range list {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			out[name] = q
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := from[name]; ok {
			out[name] = q
		}
	}
	return out
}

func removesAny(now, before corev1.ResourceList) bool {
	for name := range before {
		if _, ok := now[name]; !ok {
			return true
		}
	}
	return false
}

func validateSameContainers(at *field.Path, p, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	check := func(name string, now, before []corev1.Container) {
		if len(now) != len(before) {
			errs = append(errs, field.Forbidden(at.Child(name), name+" may not be added or removed on resize"))
			return
		}
		for i := range before {
			if now[i].Name != before[i].Name {
				errs = append(errs, field.Forbidden(at.Child(name).Index(i).Child("name"),
					name+" may not be renamed or reordered on resize"))
			}
		}
	}
	check("containers", p.Spec.Containers, old.Spec.Containers)
	check("initContainers", p.Spec.InitContainers, old.Spec.InitContainers)
	return errs
}

// validateResources refuses to take requests and limits away: then the container would have to be made anew.
func validateResources(at *field.Path, now, before []corev1.Container) field.ErrorList {
	var errs field.ErrorList
	for i := range before {
		at := at.Index(i).Child("resources")
		if removesAny(now[i].Resources.Requests, before[i].Resources.Requests) {
			errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
		}
		if removesAny(now[i].Resources.Limits, before[i].Resources.Limits) {
			errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
		}
	}
	return errs
}

// validateResizedContainers puts CPU and memory in rest back as they were and refuses any other difference.
func validateResizedContainers(at *field.Path, rest, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	restore := func(c, was *corev1.Container) {
		c.Resources.Requests = withComputeOf(c.Resources.Requests, was.Resources.Requests)
		c.Resources.Limits = withComputeOf(c.Resources.Limits, was.Resources.Limits)
	}
	for i := range rest.Containers {
		c, was := &rest.Containers[i], &old.Containers[i]
		if restore(c, was); !equality.Semantic.DeepEqual(*c, *was) {
			errs = append(errs, field.Forbidden(at, "only cpu and memory resources are mutable"))
		}
	}
	for i := range rest.InitContainers {
		c, was, at := &rest.InitContainers[i], &old.InitContainers[i], at.Child("initContainers").Index(i)
		changed := !equality.Semantic.DeepEqual(*c, *was)
		if restore(c, was); !equality.Semantic.DeepEqual(*c, *was) {
			errs = append(errs, field.Forbidden(at, "only cpu and memory resources for init or sidecar containers are mutable"))
		}
		if changed && !isSidecar(c) && restartsOnResize(c) {
			errs = append(errs, field.Forbidden(at,
				"non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	return errs
}
