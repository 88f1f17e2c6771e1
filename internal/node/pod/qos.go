package pod

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOS returns the pod's class, that of the API where it has one.
func QOS(p *v1.Pod) v1.PodQOSClass {
	if p.Status.QOSClass != "" {
		return p.Status.QOSClass
	}
	if r := p.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		return qosOf([]v1.ResourceRequirements{*r})
	}
	var all []v1.ResourceRequirements
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			all = append(all, list[i].Resources)
		}
	}
	return qosOf(all)
}

func qosOf(all []v1.ResourceRequirements) v1.PodQOSClass {
	asks, guaranteed := false, true
	for _, r := range all {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			asks = asks || !request.IsZero() || !limit.IsZero()
			guaranteed = guaranteed && !limit.IsZero() && (request.IsZero() || request.Cmp(limit) == 0)
		}
	}
	switch {
	case !asks:
		return v1.PodQOSBestEffort
	case guaranteed:
		return v1.PodQOSGuaranteed
	}
	return v1.PodQOSBurstable
}

// Requests returns what the pod asks of the node: the larger of its steady needs and the peaks of its initialisation, plus
// overhead; pod-level requests win where given.
func Requests(p *v1.Pod) v1.ResourceList {
	return total(p, func(r *v1.ResourceRequirements) v1.ResourceList { return r.Requests })
}

// Limits returns the pod's limits, only for resources that every container limits (or the pod as a whole does).
func Limits(p *v1.Pod) v1.ResourceList {
	sum := total(p, func(r *v1.ResourceRequirements) v1.ResourceList { return r.Limits })
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		if p.Spec.Resources != nil && hasResource(p.Spec.Resources.Limits, name) {
			continue
		}
		for _, e := range Entries(p) {
			if e.Role != Ephemeral && !hasResource(e.Resources.Limits, name) {
				delete(sum, name)
			}
		}
	}
	return sum
}

func hasResource(l v1.ResourceList, name v1.ResourceName) bool {
	q, ok := l[name]
	return ok && !q.IsZero()
}

func total(p *v1.Pod, of func(*v1.ResourceRequirements) v1.ResourceList) v1.ResourceList {
	steady, sidecars, peak := v1.ResourceList{}, v1.ResourceList{}, v1.ResourceList{}
	for _, e := range Entries(p) {
		r := of(&e.Resources)
		switch e.Role {
		case Main:
			add(steady, r)
		case Sidecar:
			add(steady, r)
			add(sidecars, r)
			atLeast(peak, sidecars)
		case Init:
			sum := sidecars.DeepCopy()
			add(sum, r)
			atLeast(peak, sum)
		case Ephemeral: // has no resources
		}
	}
	atLeast(steady, peak)
	if p.Spec.Resources != nil {
		for name, q := range of(p.Spec.Resources) {
			steady[name] = q.DeepCopy()
		}
	}
	add(steady, p.Spec.Overhead)
	return steady
}

func add(sum, more v1.ResourceList) {
	for name, q := range more {
		have := sum[name]
		have.Add(q)
		sum[name] = have
	}
}

func atLeast(sum, floor v1.ResourceList) {
	for name, q := range floor {
		if have, ok := sum[name]; !ok || have.Cmp(q) < 0 {
			sum[name] = q.DeepCopy()
		}
	}
}

// MilliCPU and Bytes read a list's usual members; 0 when absent.
func MilliCPU(l v1.ResourceList) int64 { return quantity(l, v1.ResourceCPU).MilliValue() }

// Bytes returns the memory of the list.
func Bytes(l v1.ResourceList) int64 { return quantity(l, v1.ResourceMemory).Value() }

func quantity(l v1.ResourceList, name v1.ResourceName) *resource.Quantity {
	q := l[name]
	return &q
}
