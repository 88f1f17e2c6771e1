package codec_test

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

type hpaObject = *autoscalingv2.HorizontalPodAutoscaler

// plausibleMetrics gives every metric one source and one target, the one its type calls for, and every state a value where
// version 1 always has one.
func plausibleMetrics(h hpaObject) {
	average, value := resource.MustParse("3"), resource.MustParse("7")
	byAverage := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &average}
	byValue := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: &value}
	id := autoscalingv2.MetricIdentifier{Name: "requests"}
	object := autoscalingv2.CrossVersionObjectReference{Kind: "Service", Name: "a", APIVersion: "v1"}
	h.Spec.Metrics = []autoscalingv2.MetricSpec{
		{
			Type:   autoscalingv2.ObjectMetricSourceType,
			Object: &autoscalingv2.ObjectMetricSource{DescribedObject: object, Metric: id, Target: byValue},
		},
		{
			Type:   autoscalingv2.ObjectMetricSourceType,
			Object: &autoscalingv2.ObjectMetricSource{DescribedObject: object, Metric: id, Target: byAverage},
		},
		{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: id, Target: byAverage}},
		{
			Type:     autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{Name: "memory", Target: byAverage},
		},
		{
			Type: autoscalingv2.ContainerResourceMetricSourceType,
			ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
				Name: "cpu", Container: "c", Target: autoscalingv2.MetricTarget{
					Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50)),
				},
			},
		},
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: id, Target: byValue}},
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: id, Target: byAverage}},
		// Version 1 has a field for this one, and puts it last.
		{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu", Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(80)),
			}},
		},
	}
	both := autoscalingv2.MetricValueStatus{Value: &value, AverageValue: &average}
	h.Status.CurrentMetrics = []autoscalingv2.MetricStatus{
		{
			Type:   autoscalingv2.ObjectMetricSourceType,
			Object: &autoscalingv2.ObjectMetricStatus{DescribedObject: object, Metric: id, Current: both},
		},
		{
			Type: autoscalingv2.PodsMetricSourceType,
			Pods: &autoscalingv2.PodsMetricStatus{Metric: id, Current: autoscalingv2.MetricValueStatus{AverageValue: &average}},
		},
		{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name:    "cpu",
				Current: autoscalingv2.MetricValueStatus{AverageValue: &average, AverageUtilization: new(int32(41))},
			},
		},
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricStatus{Metric: id, Current: both}},
	}
}
