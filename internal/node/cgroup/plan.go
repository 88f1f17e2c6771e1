package cgroup

import (
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/pod"
)

// Limits are what a group gets; 0 is no limit (CPU shares: the kernel's default).
type Limits struct {
	CPUShares, CPUQuota int64
	Memory              int64
	Pids                int64
}

// Parent returns the path of a pod's group below the root, with upstream's names.
func Parent(p *v1.Pod) string {
	name := "pod" + string(p.UID)
	switch pod.QOS(p) {
	case v1.PodQOSGuaranteed:
		return path.Join("/kubepods", name)
	case v1.PodQOSBurstable:
		return path.Join("/kubepods/burstable", name)
	default:
		return path.Join("/kubepods/besteffort", name)
	}
}

// classes are the folders in which pods' groups may be.
func classes() []string { return []string{"/kubepods", "/kubepods/burstable", "/kubepods/besteffort"} }

// PodLimits returns the limits of a pod's group.
func PodLimits(p *v1.Pod) Limits {
	if pod.QOS(p) == v1.PodQOSBestEffort {
		return Limits{CPUShares: 2}
	}
	limits := pod.Limits(p)
	return Limits{
		CPUShares: cri.Shares(pod.MilliCPU(pod.Requests(p))), CPUQuota: cri.Quota(pod.MilliCPU(limits)),
		Memory: pod.Bytes(limits),
	}
}

// weight turns v1 shares (2 to 262144) into a v2 weight (1 to 10000) as runc does.
func weight(shares int64) int64 { return 1 + (shares-2)*9999/262142 }

// uidOf returns the pod's UID of a group's folder name.
func uidOf(name string) (string, bool) { return strings.CutPrefix(name, "pod") }
