package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// ComputeQOSClass judges a pod by the CPU and memory of its spec: the pod's own resources when it has any, else those of all its
// containers, init containers included.
func ComputeQOSClass(p *corev1.Pod) corev1.PodQOSClass {
	if resourcehelper.IsPodLevelResourcesSet(p) {
		return requirementsClass(p.Spec.Resources)
	}
	var class corev1.PodQOSClass
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			class = mergeClass(class, requirementsClass(&list[i].Resources))
		}
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

// QOSClass returns the class the pod was given on create, or computes it.
func QOSClass(p *corev1.Pod) corev1.PodQOSClass {
	if p.Status.QOSClass != "" {
		return p.Status.QOSClass
	}
	return ComputeQOSClass(p)
}

// requirementsClass judges one set of requirements: Guaranteed when CPU and memory both have equal, non-zero requests and
// limits, BestEffort when neither has any.
func requirementsClass(r *corev1.ResourceRequirements) corev1.PodQOSClass {
	var class corev1.PodQOSClass
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := r.Requests[name], r.Limits[name]
		one := corev1.PodQOSGuaranteed
		switch {
		case !request.Equal(limit):
			one = corev1.PodQOSBurstable
		case request.IsZero():
			one = corev1.PodQOSBestEffort
		}
		class = mergeClass(class, one)
	}
	return class
}

// mergeClass joins the classes of two parts: parts of different classes make a Burstable whole.
func mergeClass(a, b corev1.PodQOSClass) corev1.PodQOSClass {
	if a == "" || a == b {
		return b
	}
	return corev1.PodQOSBurstable
}

// defaultPodResources completes pod-level resources that are partly given: huge page limits and requests from the containers'
// sums, requests from limits, and limits where every container has one. It runs after admission, when all containers are known.
func defaultPodResources(p *corev1.Pod) {
	r := p.Spec.Resources
	if r == nil || len(r.Requests) == 0 && len(r.Limits) == 0 {
		return
	}
	// Ephemeral containers cannot have resources and do not count.
	counted := &corev1.Pod{Spec: corev1.PodSpec{Containers: p.Spec.Containers, InitContainers: p.Spec.InitContainers}}
	requests := resourcehelper.AggregateContainerRequests(counted, resourcehelper.PodResourcesOptions{})
	limits := resourcehelper.AggregateContainerLimits(counted, resourcehelper.PodResourcesOptions{})
	for name, sum := range limits {
		if _, asked := r.Requests[name]; isHugePages(name) && !asked {
			setIfMissing(&r.Limits, name, sum)
		}
	}
	for name, sum := range requests {
		if resourcehelper.IsSupportedPodLevelResource(name) && !isHugePages(name) {
			setIfMissing(&r.Requests, name, sum)
		}
	}
	for name, limit := range r.Limits {
		if resourcehelper.IsSupportedPodLevelResource(name) {
			setIfMissing(&r.Requests, name, limit.DeepCopy())
		}
	}
	for name, request := range r.Requests {
		limit, ok := limits[name]
		if !ok || !resourcehelper.IsSupportedPodLevelResource(name) || !allLimited(&p.Spec, name) {
			continue
		}
		if request.Cmp(limit) > 0 {
			limit = request.DeepCopy()
		}
		setIfMissing(&r.Limits, name, limit)
	}
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func allLimited(s *corev1.PodSpec, name corev1.ResourceName) bool {
	for _, c := range everyContainer(s) {
		if _, ok := c.Resources.Limits[name]; !ok {
			return false
		}
	}
	return true
}

func setIfMissing(list *corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	if _, ok := (*list)[name]; ok {
		return
	}
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = q
}
