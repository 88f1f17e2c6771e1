package stats

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Summary is the answer of /stats/summary, a subset of upstream's v1alpha1 with the same field names.
type Summary struct {
	Node NodeStats  `json:"node"`
	Pods []PodStats `json:"pods"`
}

// NodeStats are the node's.
type NodeStats struct {
	NodeName  string       `json:"nodeName"`
	StartTime metav1.Time  `json:"startTime"`
	CPU       *CPUStats    `json:"cpu,omitempty"`
	Memory    *MemoryStats `json:"memory,omitempty"`
	Fs        *FsStats     `json:"fs,omitempty"`
	Runtime   *Runtime     `json:"runtime,omitempty"`
}

// Runtime is what images use.
type Runtime struct {
	ImageFs *FsStats `json:"imageFs,omitempty"`
}

// PodRef names a pod.
type PodRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

// PodStats are one pod's.
type PodStats struct {
	PodRef       PodRef           `json:"podRef"`
	StartTime    metav1.Time      `json:"startTime"`
	Containers   []ContainerStats `json:"containers"`
	CPU          *CPUStats        `json:"cpu,omitempty"`
	Memory       *MemoryStats     `json:"memory,omitempty"`
	Network      *NetworkStats    `json:"network,omitempty"`
	ProcessStats *ProcessStats    `json:"process_stats,omitempty"`
}

// ContainerStats are one container's.
type ContainerStats struct {
	Name      string       `json:"name"`
	StartTime metav1.Time  `json:"startTime"`
	CPU       *CPUStats    `json:"cpu,omitempty"`
	Memory    *MemoryStats `json:"memory,omitempty"`
	Rootfs    *FsStats     `json:"rootfs,omitempty"`
	id        string
	image     string
}

// CPUStats are in nanocores and core-nanoseconds.
type CPUStats struct {
	Time                 metav1.Time `json:"time"`
	UsageNanoCores       *uint64     `json:"usageNanoCores,omitempty"`
	UsageCoreNanoSeconds *uint64     `json:"usageCoreNanoSeconds,omitempty"`
}

// MemoryStats are in bytes.
type MemoryStats struct {
	Time            metav1.Time `json:"time"`
	AvailableBytes  *uint64     `json:"availableBytes,omitempty"`
	UsageBytes      *uint64     `json:"usageBytes,omitempty"`
	WorkingSetBytes *uint64     `json:"workingSetBytes,omitempty"`
	RSSBytes        *uint64     `json:"rssBytes,omitempty"`
	PageFaults      *uint64     `json:"pageFaults,omitempty"`
	MajorPageFaults *uint64     `json:"majorPageFaults,omitempty"`
}

// FsStats are in bytes.
type FsStats struct {
	Time           metav1.Time `json:"time"`
	AvailableBytes *uint64     `json:"availableBytes,omitempty"`
	CapacityBytes  *uint64     `json:"capacityBytes,omitempty"`
	UsedBytes      *uint64     `json:"usedBytes,omitempty"`
	InodesFree     *uint64     `json:"inodesFree,omitempty"`
	Inodes         *uint64     `json:"inodes,omitempty"`
	InodesUsed     *uint64     `json:"inodesUsed,omitempty"`
}

// NetworkStats are of the default interface.
type NetworkStats struct {
	Time           metav1.Time `json:"time"`
	InterfaceStats `json:",inline"`
}

// InterfaceStats are in bytes.
type InterfaceStats struct {
	Name     string  `json:"name"`
	RxBytes  *uint64 `json:"rxBytes,omitempty"`
	RxErrors *uint64 `json:"rxErrors,omitempty"`
	TxBytes  *uint64 `json:"txBytes,omitempty"`
	TxErrors *uint64 `json:"txErrors,omitempty"`
}

// ProcessStats count processes.
type ProcessStats struct {
	ProcessCount *uint64 `json:"process_count,omitempty"`
}

// Provider measures.
type Provider struct {
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
	Machine *Machine
	Node    string
	Now     func() time.Time
}

// Summary measures everything now.
func (p *Provider) Summary(ctx context.Context) (*Summary, error) {
	pods, err := p.Pods(ctx)
	if err != nil {
		return nil, err
	}
	s := &Summary{Node: p.Machine.stats(p.Node, p.Now()), Pods: pods}
	if s.Pods == nil {
		s.Pods = []PodStats{}
	}
	if info, err := p.Images.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{}); err == nil && len(info.ImageFilesystems) > 0 {
		fs := info.ImageFilesystems[0]
		s.Node.Runtime = &Runtime{ImageFs: &FsStats{
			Time: nano(fs.Timestamp), UsedBytes: value(fs.UsedBytes), InodesUsed: value(fs.InodesUsed),
		}}
	}
	return s, nil
}

// Pods measures the pods.
func (p *Provider) Pods(ctx context.Context) ([]PodStats, error) {
	sandboxes, err := p.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing sandboxes: %w", err)
	}
	began := map[string]int64{}
	for _, s := range sandboxes.Items {
		if s.State == runtimeapi.PodSandboxState_SANDBOX_READY {
			began[s.Id] = s.CreatedAt
		}
	}
	containers, err := p.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	made := map[string]int64{}
	for _, c := range containers.Containers {
		made[c.Id] = c.CreatedAt
	}
	measured, err := p.measure(ctx, began)
	if err != nil {
		return nil, err
	}
	var pods []PodStats
	for _, s := range measured {
		m := s.GetAttributes().GetMetadata()
		created, ready := began[s.GetAttributes().GetId()]
		if m == nil || s.Linux == nil || !ready {
			continue
		}
		stats := PodStats{
			PodRef:    PodRef{Name: m.Name, Namespace: m.Namespace, UID: m.Uid},
			StartTime: nano(created), Containers: []ContainerStats{},
			CPU: cpu(s.Linux.Cpu), Memory: memory(s.Linux.Memory), Network: network(s.Linux.Network),
		}
		if n := s.Linux.GetProcess().GetProcessCount(); n != nil {
			stats.ProcessStats = &ProcessStats{ProcessCount: value(n)}
		}
		for _, c := range s.Linux.Containers {
			if c.GetAttributes().GetMetadata() == nil {
				continue
			}
			stats.Containers = append(stats.Containers, container(c, made[c.Attributes.Id]))
		}
		pods = append(pods, stats)
	}
	return pods, nil
}

// measure asks for all pods at once, and one by one when one of them spoils that.
func (p *Provider) measure(ctx context.Context, began map[string]int64) ([]*runtimeapi.PodSandboxStats, error) {
	list, err := p.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	if err == nil {
		return list.Stats, nil
	}
	var stats []*runtimeapi.PodSandboxStats
	for id := range began {
		if one, err := p.Runtime.PodSandboxStats(ctx, &runtimeapi.PodSandboxStatsRequest{PodSandboxId: id}); err == nil {
			stats = append(stats, one.Stats)
		}
	}
	if len(stats) == 0 && len(began) > 0 {
		return nil, fmt.Errorf("asking the runtime for statistics: %w", err)
	}
	return stats, nil
}

func container(c *runtimeapi.ContainerStats, made int64) ContainerStats {
	s := ContainerStats{
		Name: c.Attributes.Metadata.Name, StartTime: nano(made), CPU: cpu(c.Cpu), Memory: memory(c.Memory), id: c.Attributes.Id,
		image: c.Attributes.Annotations["io.kubernetes.cri.image-name"],
	}
	if w := c.WritableLayer; w.GetTimestamp() != 0 {
		s.Rootfs = &FsStats{Time: nano(w.Timestamp), UsedBytes: value(w.UsedBytes), InodesUsed: value(w.InodesUsed)}
	}
	return s
}

func cpu(c *runtimeapi.CpuUsage) *CPUStats {
	if c == nil {
		return nil
	}
	return &CPUStats{
		Time: nano(c.Timestamp), UsageNanoCores: value(c.UsageNanoCores), UsageCoreNanoSeconds: value(c.UsageCoreNanoSeconds),
	}
}

func memory(m *runtimeapi.MemoryUsage) *MemoryStats {
	if m == nil {
		return nil
	}
	return &MemoryStats{
		Time: nano(m.Timestamp), AvailableBytes: value(m.AvailableBytes), UsageBytes: value(m.UsageBytes),
		WorkingSetBytes: value(m.WorkingSetBytes), RSSBytes: value(m.RssBytes),
		PageFaults: value(m.PageFaults), MajorPageFaults: value(m.MajorPageFaults),
	}
}

func network(n *runtimeapi.NetworkUsage) *NetworkStats {
	d := n.GetDefaultInterface()
	if d == nil {
		return nil
	}
	return &NetworkStats{Time: nano(n.Timestamp), InterfaceStats: InterfaceStats{
		Name: d.Name, RxBytes: value(d.RxBytes), RxErrors: value(d.RxErrors),
		TxBytes: value(d.TxBytes), TxErrors: value(d.TxErrors),
	}}
}

func nano(n int64) metav1.Time { return metav1.NewTime(time.Unix(0, n)) }

func value(v *runtimeapi.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	n := v.Value
	return &n
}
