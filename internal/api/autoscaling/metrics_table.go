package autoscaling

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"

	"coracle.dev/coracle/internal/api/meta"
)

// metricsText writes each metric as current/target, at most two of them.
func metricsText(specs []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	if len(specs) == 0 {
		return meta.None
	}
	all := make([]string, len(specs))
	for i := range specs {
		var status autoscalingv2.MetricStatus
		if i < len(statuses) {
			status = statuses[i]
		}
		all[i] = metricText(&specs[i], &status)
	}
	if len(all) <= 2 {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(all[:2], ", "), len(all)-2)
}

func metricText(spec *autoscalingv2.MetricSpec, status *autoscalingv2.MetricStatus) string {
	target, name := targetOf(spec)
	if target == nil {
		return "<unknown type>"
	}
	current := currentOf(spec.Type, status)
	if current == nil {
		current = &autoscalingv2.MetricValueStatus{}
	}
	switch {
	case name != "" && target.AverageValue != nil:
		return fmt.Sprintf("%s: %s/%s", name, quantity(current.AverageValue), target.AverageValue)
	case name != "":
		return fmt.Sprintf("%s: %s/%s", name, percent(current.AverageUtilization, meta.Unknown),
			percent(target.AverageUtilization, "<auto>"))
	case spec.Type == autoscalingv2.PodsMetricSourceType:
		return quantity(current.AverageValue) + "/" + quantity(target.AverageValue)
	case target.AverageValue != nil:
		return quantity(current.AverageValue) + "/" + target.AverageValue.String() + " (avg)"
	}
	return quantity(current.Value) + "/" + quantity(target.Value)
}

// targetOf returns the metric's target, and the resource's name for metrics of resources.
func targetOf(m *autoscalingv2.MetricSpec) (*autoscalingv2.MetricTarget, string) {
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		return &m.External.Target, ""
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		return &m.Pods.Target, ""
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		return &m.Object.Target, ""
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		return &m.Resource.Target, string(m.Resource.Name)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		return &m.ContainerResource.Target, string(m.ContainerResource.Name)
	}
	return nil, ""
}

func currentOf(t autoscalingv2.MetricSourceType, m *autoscalingv2.MetricStatus) *autoscalingv2.MetricValueStatus {
	switch {
	case t == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		return &m.External.Current
	case t == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		return &m.Pods.Current
	case t == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		return &m.Object.Current
	case t == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		return &m.Resource.Current
	case t == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		return &m.ContainerResource.Current
	}
	return nil
}

func quantity(q *resource.Quantity) string {
	if q == nil {
		return meta.Unknown
	}
	return q.String()
}

func percent(p *int32, none string) string {
	if p == nil {
		return none
	}
	return fmt.Sprintf("%d%%", *p)
}
