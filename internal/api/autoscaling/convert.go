package autoscaling

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
)

// Version 1 knows only CPU utilization. Everything else travels in annotations with upstream's names and forms, so that a
// client of version 1 can read an object and write it back without losing anything.
const (
	metricsKey       = "autoscaling.alpha.kubernetes.io/metrics"
	statusesKey      = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsKey    = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorKey      = "autoscaling.alpha.kubernetes.io/behavior"
	toleranceDownKey = "autoscaling.alpha.kubernetes.io/scale-down-tolerance"
	toleranceUpKey   = "autoscaling.alpha.kubernetes.io/scale-up-tolerance"
)

// withoutRoundTrip returns the annotations without those of version 1, the same map when there are none.
func withoutRoundTrip(in map[string]string) map[string]string {
	keys := []string{metricsKey, statusesKey, conditionsKey, behaviorKey, toleranceDownKey, toleranceUpKey}
	if !slices.ContainsFunc(keys, func(key string) bool { _, ok := in[key]; return ok }) {
		return in
	}
	out := maps.Clone(in)
	for _, key := range keys {
		delete(out, key)
	}
	return out
}

// isCPUUtilization tells whether version 1 has a field for the metric.
func isCPUUtilization(m *autoscalingv2.MetricSpec) bool {
	return m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU &&
		m.Resource.Target.AverageUtilization != nil
}

func toV1(obj api.Object) (*autoscalingv1.HorizontalPodAutoscaler, error) {
	in, ok := obj.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return nil, fmt.Errorf("converting %T to autoscaling/v1: not a HorizontalPodAutoscaler of v2", obj)
	}
	out := &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: in.ObjectMeta}
	out.APIVersion, out.Kind = "autoscaling/v1", "HorizontalPodAutoscaler"
	out.Spec = autoscalingv1.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(in.Spec.ScaleTargetRef),
		MinReplicas:    in.Spec.MinReplicas,
		MaxReplicas:    in.Spec.MaxReplicas,
	}
	var others []autoscalingv1.MetricSpec
	for i := range in.Spec.Metrics {
		m := &in.Spec.Metrics[i]
		if !isCPUUtilization(m) {
			others = append(others, metricToV1(m))
		} else if out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
		}
	}
	statuses := statusToV1(in, out)
	notes := notes{}
	notes.add(metricsKey, others, len(others) > 0)
	notes.add(statusesKey, statuses, len(statuses) > 0)
	// In JSON the conditions of both versions are alike, but for what version 2 has more.
	notes.add(conditionsKey, in.Status.Conditions, len(in.Status.Conditions) > 0)
	if in.Spec.Behavior != nil {
		notes.add(behaviorKey, behaviorToNote(in.Spec.Behavior), true)
	}
	if notes.err != nil {
		return nil, notes.err
	}
	out.Annotations = withoutRoundTrip(in.Annotations)
	if len(notes.all) > 0 {
		all := maps.Clone(out.Annotations)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, notes.all)
		out.Annotations = all
	}
	return out, nil
}

// statusToV1 fills in the status and returns the metrics' states, which go to an annotation: all of them, since version 1 has
// only the utilization and not the raw value.
func statusToV1(
	in *autoscalingv2.HorizontalPodAutoscaler, out *autoscalingv1.HorizontalPodAutoscaler,
) []autoscalingv1.MetricStatus {
	out.Status = autoscalingv1.HorizontalPodAutoscalerStatus{
		ObservedGeneration: in.Status.ObservedGeneration,
		LastScaleTime:      in.Status.LastScaleTime,
		CurrentReplicas:    in.Status.CurrentReplicas,
		DesiredReplicas:    in.Status.DesiredReplicas,
	}
	statuses := make([]autoscalingv1.MetricStatus, len(in.Status.CurrentMetrics))
	for i := range in.Status.CurrentMetrics {
		m := &in.Status.CurrentMetrics[i]
		statuses[i] = metricStatusToV1(m)
		if m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU &&
			m.Resource.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
	}
	return statuses
}

// notes collects annotations in JSON and the first error.
type notes struct {
	all map[string]string
	err error
}

func (n *notes) add(key string, value any, present bool) {
	if !present || n.err != nil {
		return
	}
	data, err := json.Marshal(value)
	if err != nil {
		n.err = fmt.Errorf("annotation %s: %w", key, err)
		return
	}
	if n.all == nil {
		n.all = map[string]string{}
	}
	n.all[key] = string(data)
}

func toV2(obj runtime.Object) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	in, ok := obj.(*autoscalingv1.HorizontalPodAutoscaler)
	if !ok {
		return nil, fmt.Errorf("converting %T to autoscaling/v2: not a HorizontalPodAutoscaler of v1", obj)
	}
	out := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: in.ObjectMeta}
	out.APIVersion, out.Kind = "autoscaling/v2", "HorizontalPodAutoscaler"
	out.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(in.Spec.ScaleTargetRef),
		MinReplicas:    in.Spec.MinReplicas,
		MaxReplicas:    in.Spec.MaxReplicas,
	}
	var others []autoscalingv1.MetricSpec
	if note(in.Annotations, metricsKey, &others) {
		for i := range others {
			out.Spec.Metrics = append(out.Spec.Metrics, metricToV2(&others[i]))
		}
	}
	if p := in.Spec.TargetCPUUtilizationPercentage; p != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuMetric(*p))
	}
	if len(out.Spec.Metrics) == 0 {
		out.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultUtilization)}
	}
	var behavior behaviorNote
	if note(in.Annotations, behaviorKey, &behavior) && behavior != (behaviorNote{}) {
		out.Spec.Behavior = behavior.toV2()
	}
	statusToV2(in, out)
	out.Annotations = withoutRoundTrip(in.Annotations)
	return out, nil
}

func statusToV2(in *autoscalingv1.HorizontalPodAutoscaler, out *autoscalingv2.HorizontalPodAutoscaler) {
	out.Status = autoscalingv2.HorizontalPodAutoscalerStatus{
		ObservedGeneration: in.Status.ObservedGeneration,
		LastScaleTime:      in.Status.LastScaleTime,
		CurrentReplicas:    in.Status.CurrentReplicas,
		DesiredReplicas:    in.Status.DesiredReplicas,
	}
	var statuses []autoscalingv1.MetricStatus
	if note(in.Annotations, statusesKey, &statuses) {
		for i := range statuses {
			out.Status.CurrentMetrics = append(out.Status.CurrentMetrics, metricStatusToV2(&statuses[i]))
		}
	} else if p := in.Status.CurrentCPUUtilizationPercentage; p != nil {
		out.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: p},
			},
		}}
	}
	var conditions []autoscalingv2.HorizontalPodAutoscalerCondition
	if note(in.Annotations, conditionsKey, &conditions) {
		out.Status.Conditions = conditions
	}
}

// note reads an annotation; one that does not parse is as good as none, as upstream treats it.
func note(annotations map[string]string, key string, into any) bool {
	data, ok := annotations[key]
	return ok && json.Unmarshal([]byte(data), into) == nil
}
