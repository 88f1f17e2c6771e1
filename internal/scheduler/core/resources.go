package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Requests assumed by scores (never by filters) for containers that ask for nothing, as upstream assumes them, so that such
// pods spread too.
const (
	assumedMilliCPU int64 = 100
	assumedMemory   int64 = 200 << 20
)

// Resources is an amount of each resource: CPU in millicores, all else in its base unit (bytes, devices).
type Resources struct {
	MilliCPU         int64
	Memory           int64
	EphemeralStorage int64
	Pods             int64
	// Extended holds every other resource (devices, huge pages). Shared, not to be changed.
	Extended map[corev1.ResourceName]int64
}

// Of returns the amount of one resource.
func (r Resources) Of(name corev1.ResourceName) int64 {
	switch name {
	case corev1.ResourceCPU:
		return r.MilliCPU
	case corev1.ResourceMemory:
		return r.Memory
	case corev1.ResourceEphemeralStorage:
		return r.EphemeralStorage
	case corev1.ResourcePods:
		return r.Pods
	default:
		return r.Extended[name]
	}
}

// plus returns r with sign times o added; neither is changed.
func (r Resources) plus(o Resources, sign int64) Resources {
	r.MilliCPU += sign * o.MilliCPU
	r.Memory += sign * o.Memory
	r.EphemeralStorage += sign * o.EphemeralStorage
	r.Pods += sign * o.Pods
	if len(o.Extended) == 0 {
		return r
	}
	sum := make(map[corev1.ResourceName]int64, len(r.Extended)+len(o.Extended))
	for name, v := range r.Extended {
		sum[name] = v
	}
	for name, v := range o.Extended {
		sum[name] += sign * v
	}
	r.Extended = sum
	return r
}

// Less tells whether r has less of something than o.
func (r Resources) Less(o Resources) bool {
	if r.MilliCPU < o.MilliCPU || r.Memory < o.Memory || r.EphemeralStorage < o.EphemeralStorage || r.Pods < o.Pods {
		return true
	}
	for name, n := range o.Extended {
		if r.Extended[name] < n {
			return true
		}
	}
	return false
}

func resourcesOf(list corev1.ResourceList) Resources {
	var r Resources
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			r.EphemeralStorage = q.Value()
		case corev1.ResourcePods:
			r.Pods = q.Value()
		default:
			if r.Extended == nil {
				r.Extended = map[corev1.ResourceName]int64{}
			}
			r.Extended[name] = q.Value()
		}
	}
	return r
}

// requestsOf returns what a pod asks for, init containers, sidecars, overhead and resizes in progress counted as upstream
// counts them, and the same with assumed amounts for containers that ask for nothing.
func requestsOf(pod *corev1.Pod) (asked, assumed Resources) {
	asked = resourcesOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true}))
	asked.Pods = 1
	assumed = resourcesOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true,
		NonMissingContainerRequests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(assumedMilliCPU, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(assumedMemory, resource.BinarySI),
		},
	}))
	assumed.Pods = 1
	return asked, assumed
}
