package nodestatus

import (
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Input is what is known about the node.
type Input struct {
	Name, Hostname string
	IPs            []string
	Machine        Machine
	Pressure       Pressure
	// Capacity replaces what the machine says, Reserved is taken off for the system.
	Capacity, Reserved v1.ResourceList
	MaxPods            int
	// Version is the agent's, RuntimeVersion such as containerd://2.4.2.
	Version, RuntimeVersion string
	Port                    int32
	Images                  []v1.ContainerImage
	Handlers                []v1.NodeRuntimeHandler
	// GroupsPolicy says that the runtime knows supplementalGroupsPolicy.
	GroupsPolicy bool
	// NotReady says why the node can't run pods; empty when it can.
	NotReady string
	Now      time.Time

	Labels     map[string]string
	Taints     []v1.Taint
	ProviderID string
}

// Object returns the Node to register.
func Object(in Input) *v1.Node {
	labels := map[string]string{
		v1.LabelHostname: in.Hostname, v1.LabelOSStable: "linux", v1.LabelArchStable: in.Machine.Arch,
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": in.Machine.Arch,
	}
	maps.Copy(labels, in.Labels)
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: in.Name, Labels: labels,
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec: v1.NodeSpec{Taints: in.Taints, ProviderID: in.ProviderID},
	}
	n.Status = Status(in, v1.NodeStatus{})
	return n
}

// Status returns the node's status, starting from the one before: what others own stays.
func Status(in Input, before v1.NodeStatus) v1.NodeStatus {
	s := *before.DeepCopy()
	s.Capacity, s.Allocatable = capacity(in)
	s.Addresses = nil
	for _, ip := range in.IPs {
		s.Addresses = append(s.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: ip})
	}
	s.Addresses = append(s.Addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: in.Hostname})
	s.DaemonEndpoints.KubeletEndpoint.Port = in.Port
	s.NodeInfo = v1.NodeSystemInfo{
		MachineID: in.Machine.ID, SystemUUID: in.Machine.UUID, BootID: in.Machine.BootID, KernelVersion: in.Machine.Kernel,
		OSImage: in.Machine.OS, ContainerRuntimeVersion: in.RuntimeVersion, KubeletVersion: in.Version,
		OperatingSystem: "linux", Architecture: in.Machine.Arch,
	}
	s.Images = in.Images
	s.RuntimeHandlers = in.Handlers
	s.Features = &v1.NodeFeatures{SupplementalGroupsPolicy: &in.GroupsPolicy}
	s.Conditions = conditions(in, before.Conditions)
	return s
}

func capacity(in Input) (capacity, allocatable v1.ResourceList) {
	capacity = v1.ResourceList{
		v1.ResourceCPU:              *resource.NewQuantity(int64(in.Machine.CPUs), resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(max(in.Machine.Memory, 0), resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(in.Machine.Disk, resource.BinarySI),
		v1.ResourcePods:             *resource.NewQuantity(int64(in.MaxPods), resource.DecimalSI),
	}
	for name, q := range in.Capacity {
		capacity[name] = q.DeepCopy()
	}
	allocatable = capacity.DeepCopy()
	for name, q := range in.Reserved {
		left, ok := allocatable[name]
		if !ok {
			continue
		}
		left.Sub(q)
		if left.Sign() < 0 {
			left = *resource.NewQuantity(0, left.Format)
		}
		allocatable[name] = left
	}
	return capacity, allocatable
}

// Bounds below which a node is under pressure. Disks count only when they are nearly full in absolute terms too: a tenth of a
// large disk is no emergency.
const (
	minMemory     = 100 << 20
	minDisk       = 5 << 30
	minDiskShare  = 10 // one part in
	minInodeShare = 20
	minPIDShare   = 100
)

func conditions(in Input, before []v1.NodeCondition) []v1.NodeCondition {
	p := in.Pressure
	memory := p.MemoryAvailable >= 0 && p.MemoryAvailable < minMemory
	disk := (p.DiskSize > 0 && p.DiskAvailable < minDisk && p.DiskAvailable < p.DiskSize/minDiskShare) ||
		(p.Inodes > 0 && p.InodesFree < p.Inodes/minInodeShare)
	pid := p.MaxPID > 0 && p.MaxPID-p.Threads < p.MaxPID/minPIDShare
	own := []v1.NodeCondition{
		pressure(v1.NodeMemoryPressure, memory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
			"KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		pressure(v1.NodeDiskPressure, disk, "KubeletHasDiskPressure", "kubelet has disk pressure",
			"KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		pressure(v1.NodePIDPressure, pid, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
			"KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	}
	if in.NotReady != "" {
		own[3].Status, own[3].Reason, own[3].Message = v1.ConditionFalse, "KubeletNotReady", in.NotReady
	}
	now := metav1.NewTime(in.Now).Rfc3339Copy()
	var all []v1.NodeCondition
	for _, c := range before {
		if !slices.ContainsFunc(own, func(o v1.NodeCondition) bool { return o.Type == c.Type }) {
			all = append(all, c)
		}
	}
	for _, c := range own {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		for _, old := range before {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
		all = append(all, c)
	}
	return all
}

func pressure(t v1.NodeConditionType, is bool, badReason, bad, goodReason, good string) v1.NodeCondition {
	if is {
		return v1.NodeCondition{Type: t, Status: v1.ConditionTrue, Reason: badReason, Message: bad}
	}
	return v1.NodeCondition{Type: t, Status: v1.ConditionFalse, Reason: goodReason, Message: good}
}

// Changed says whether two statuses differ in more than the time of the last heartbeat.
func Changed(a, b v1.NodeStatus) bool {
	still := func(s v1.NodeStatus) v1.NodeStatus {
		c := *s.DeepCopy()
		for i := range c.Conditions {
			c.Conditions[i].LastHeartbeatTime = metav1.Time{}
		}
		return c
	}
	return !equality.Semantic.DeepEqual(still(a), still(b))
}

// RuntimeCondition is one of the runtime's own conditions, RuntimeReady or NetworkReady.
type RuntimeCondition struct {
	OK              bool
	Reason, Message string
}

// RuntimeNotReady words why the runtime can't run pods; empty when it can.
func RuntimeNotReady(conditions map[string]RuntimeCondition) string {
	for _, c := range []struct{ name, what string }{
		{"RuntimeReady", "container runtime"}, {"NetworkReady", "container runtime network"},
	} {
		if got := conditions[c.name]; !got.OK {
			return fmt.Sprintf("%s not ready: %s=false reason:%s message:%s", c.what, c.name, got.Reason, got.Message)
		}
	}
	return ""
}
