package cri

import (
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// The kernel's units for CPU time.
const (
	quotaPeriod = 100_000 // microseconds
	minQuota    = 1_000
	sharesPer   = 1024
	minShares   = 2
	maxShares   = 262_144
)

// Shares turns a CPU request into cgroup shares.
func Shares(milliCPU int64) int64 {
	return min(max(milliCPU*sharesPer/1000, minShares), maxShares)
}

// Quota turns a CPU limit into microseconds per period (of 100 ms); 0 is no limit.
func Quota(milliCPU int64) int64 {
	if milliCPU <= 0 {
		return 0
	}
	return max(milliCPU*quotaPeriod/1000, minQuota)
}

// QuotaPeriod is the period that Quota counts in, in microseconds.
const QuotaPeriod = quotaPeriod

func podResources(requests, limits v1.ResourceList) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{
		CpuPeriod: quotaPeriod, CpuQuota: Quota(pod.MilliCPU(limits)), CpuShares: Shares(pod.MilliCPU(requests)),
		MemoryLimitInBytes: pod.Bytes(limits),
	}
}

// containerResources returns the limits of one container. A request that is not given is its limit.
func containerResources(p *v1.Pod, e pod.Entry, memoryCapacity int64, unified bool) *runtimeapi.LinuxContainerResources {
	cpu := pod.MilliCPU(e.Resources.Requests)
	if _, given := e.Resources.Requests[v1.ResourceCPU]; !given {
		cpu = pod.MilliCPU(e.Resources.Limits)
	}
	r := &runtimeapi.LinuxContainerResources{
		CpuPeriod: quotaPeriod, CpuQuota: Quota(pod.MilliCPU(e.Resources.Limits)), CpuShares: Shares(cpu),
		MemoryLimitInBytes: pod.Bytes(e.Resources.Limits),
		OomScoreAdj:        oomScore(p, e, memoryCapacity),
	}
	if unified {
		// A container dies as a whole.
		r.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return r
}

// The ends of the scale by which the kernel chooses whom to kill.
const (
	oomGuaranteed = -997
	oomBestEffort = 1000
)

// systemCritical is the priority from which pods are protected like guaranteed ones.
const systemCritical = 2_000_000_000

func oomScore(p *v1.Pod, e pod.Entry, memoryCapacity int64) int64 {
	if p.Spec.Priority != nil && *p.Spec.Priority >= systemCritical {
		return oomGuaranteed
	}
	switch pod.QOS(p) {
	case v1.PodQOSGuaranteed:
		return oomGuaranteed
	case v1.PodQOSBestEffort:
		return oomBestEffort
	default: // Burstable: by its share of the memory
	}
	if memoryCapacity <= 0 {
		return oomBestEffort - 1
	}
	score := 1000 - 1000*pod.Bytes(e.Resources.Requests)/memoryCapacity
	return min(max(score, 1000+oomGuaranteed), oomBestEffort-1)
}
