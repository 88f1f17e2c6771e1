package stats

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Resource collects the metrics of /metrics/resource, by which autoscalers and kubectl top measure.
type Resource struct{ Provider *Provider }

// Cadvisor collects the metrics of /metrics/cadvisor that the runtime's statistics can give.
type Cadvisor struct{ Provider *Provider }

type descriptions struct {
	nodeCPU, nodeMemory                         *prometheus.Desc
	podCPU, podMemory                           *prometheus.Desc
	containerCPU, containerMemory, containerAge *prometheus.Desc
	failed                                      *prometheus.Desc
}

func describe() descriptions {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return descriptions{
		nodeCPU:    d("node_cpu_usage_seconds_total", "CPU time used by the node"),
		nodeMemory: d("node_memory_working_set_bytes", "Working set of the node"),
		podCPU:     d("pod_cpu_usage_seconds_total", "CPU time used by the pod", "namespace", "pod"),
		podMemory:  d("pod_memory_working_set_bytes", "Working set of the pod", "namespace", "pod"),
		containerCPU: d("container_cpu_usage_seconds_total", "CPU time used by the container",
			"container", "namespace", "pod"),
		containerMemory: d("container_memory_working_set_bytes", "Working set of the container", "container", "namespace", "pod"),
		containerAge:    d("container_start_time_seconds", "Start time of the container", "container", "namespace", "pod"),
		failed:          d("resource_scrape_error", "1 if there was an error while measuring"),
	}
}

// Describe implements prometheus.Collector; it names nothing, for nothing is measured before somebody asks.
func (r *Resource) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r *Resource) Collect(ch chan<- prometheus.Metric) {
	d := describe()
	s, err := r.Provider.Summary(context.Background())
	if err != nil {
		ch <- prometheus.MustNewConstMetric(d.failed, prometheus.GaugeValue, 1)
		return
	}
	ch <- prometheus.MustNewConstMetric(d.failed, prometheus.GaugeValue, 0)
	seconds := func(desc *prometheus.Desc, c *CPUStats, labels ...string) {
		if c != nil && c.UsageCoreNanoSeconds != nil {
			m := prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(*c.UsageCoreNanoSeconds)/1e9, labels...)
			ch <- prometheus.NewMetricWithTimestamp(c.Time.Time, m)
		}
	}
	working := func(desc *prometheus.Desc, s *MemoryStats, labels ...string) {
		if s != nil && s.WorkingSetBytes != nil {
			m := prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(*s.WorkingSetBytes), labels...)
			ch <- prometheus.NewMetricWithTimestamp(s.Time.Time, m)
		}
	}
	seconds(d.nodeCPU, s.Node.CPU)
	working(d.nodeMemory, s.Node.Memory)
	for i := range s.Pods {
		p := &s.Pods[i]
		seconds(d.podCPU, p.CPU, p.PodRef.Namespace, p.PodRef.Name)
		working(d.podMemory, p.Memory, p.PodRef.Namespace, p.PodRef.Name)
		for j := range p.Containers {
			c := &p.Containers[j]
			seconds(d.containerCPU, c.CPU, c.Name, p.PodRef.Namespace, p.PodRef.Name)
			working(d.containerMemory, c.Memory, c.Name, p.PodRef.Namespace, p.PodRef.Name)
			ch <- prometheus.MustNewConstMetric(d.containerAge, prometheus.GaugeValue,
				float64(c.StartTime.UnixNano())/1e9, c.Name, p.PodRef.Namespace, p.PodRef.Name)
		}
	}
}

// Describe implements prometheus.Collector; see Resource.
func (c *Cadvisor) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Cadvisor) Collect(ch chan<- prometheus.Metric) {
	pods, err := c.Provider.Pods(context.Background())
	if err != nil {
		return
	}
	labels := []string{"container", "id", "image", "name", "namespace", "pod"}
	d := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append(labels, more...), nil)
	}
	cpu := d("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "cpu")
	usage := d("container_memory_usage_bytes", "Current memory usage in bytes, whenever it was accessed")
	working := d("container_memory_working_set_bytes", "Current working set in bytes.")
	rss := d("container_memory_rss", "Size of RSS in bytes.")
	received := d("container_network_receive_bytes_total", "Cumulative count of bytes received", "interface")
	sent := d("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "interface")
	emit := func(desc *prometheus.Desc, kind prometheus.ValueType, v *uint64, scale float64, labels ...string) {
		if v != nil {
			ch <- prometheus.MustNewConstMetric(desc, kind, float64(*v)*scale, labels...)
		}
	}
	group := func(who []string, u *CPUStats, m *MemoryStats) {
		if u != nil {
			emit(cpu, prometheus.CounterValue, u.UsageCoreNanoSeconds, 1e-9, append(who, "total")...)
		}
		if m != nil {
			emit(usage, prometheus.GaugeValue, m.UsageBytes, 1, who...)
			emit(working, prometheus.GaugeValue, m.WorkingSetBytes, 1, who...)
			emit(rss, prometheus.GaugeValue, m.RSSBytes, 1, who...)
		}
	}
	for i := range pods {
		p := &pods[i]
		who := []string{"", "/kubepods/pod" + p.PodRef.UID, "", "", p.PodRef.Namespace, p.PodRef.Name}
		group(who, p.CPU, p.Memory)
		if n := p.Network; n != nil {
			emit(received, prometheus.CounterValue, n.RxBytes, 1, append(who, n.Name)...)
			emit(sent, prometheus.CounterValue, n.TxBytes, 1, append(who, n.Name)...)
		}
		for j := range p.Containers {
			k := &p.Containers[j]
			id := "/kubepods/pod" + p.PodRef.UID + "/" + k.id
			group([]string{k.Name, id, k.image, k.id, p.PodRef.Namespace, p.PodRef.Name}, k.CPU, k.Memory)
		}
	}
}
