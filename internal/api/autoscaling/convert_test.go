package autoscaling

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFromVersion1(t *testing.T) {
	in := &autoscalingv1.HorizontalPodAutoscaler{}
	in.Annotations = map[string]string{
		"keep":      "me",
		metricsKey:  `[{"type":"Pods","pods":{"metricName":"requests","targetAverageValue":"5"}}]`,
		behaviorKey: `{"scaleUp":{"stabilizationWindowSeconds":7}}`, // written by hand, in the case of version 2
	}
	in.Spec.MaxReplicas = 3
	in.Spec.TargetCPUUtilizationPercentage = new(int32(60))
	in.Status.CurrentCPUUtilizationPercentage = new(int32(10))
	out, err := toV2(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Spec.Metrics) != 2 || out.Spec.Metrics[0].Pods.Target.AverageValue.Value() != 5 ||
		*out.Spec.Metrics[1].Resource.Target.AverageUtilization != 60 {
		t.Errorf("metrics %+v", out.Spec.Metrics)
	}
	if *out.Spec.Behavior.ScaleUp.StabilizationWindowSeconds != 7 {
		t.Errorf("behavior %+v", out.Spec.Behavior)
	}
	if len(out.Annotations) != 1 || out.Annotations["keep"] != "me" {
		t.Errorf("annotations %v", out.Annotations)
	}
	if len(in.Annotations) != 3 {
		t.Error("the argument was changed")
	}
	if got := out.Status.CurrentMetrics[0].Resource; got.Name != corev1.ResourceCPU || *got.Current.AverageUtilization != 10 {
		t.Errorf("status %+v", got)
	}
}

func TestVersion1WithoutMetrics(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"none":   nil,
		"broken": {metricsKey: "{", statusesKey: "{", behaviorKey: "{", conditionsKey: "{"},
	} {
		out, err := toV2(&autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: meta1(annotations)})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Spec.Metrics) != 1 || *out.Spec.Metrics[0].Resource.Target.AverageUtilization != defaultUtilization {
			t.Errorf("%s: metrics %+v", name, out.Spec.Metrics)
		}
		if len(out.Annotations) != 0 {
			t.Errorf("%s: annotations %v", name, out.Annotations)
		}
	}
}

func TestToVersion1(t *testing.T) {
	value := resource.MustParse("10")
	in := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta1(map[string]string{metricsKey: "stale"})}
	in.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(70), {
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "queue"},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: &value},
		},
	}}
	in.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
	out, err := toV1(in)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Spec.TargetCPUUtilizationPercentage != 70 {
		t.Errorf("utilization %v", out.Spec.TargetCPUUtilizationPercentage)
	}
	want := `[{"type":"External","external":{"metricName":"queue","targetValue":"10"}}]`
	if got := out.Annotations[metricsKey]; got != want {
		t.Errorf("other metrics %s", got)
	}
	if got := out.Annotations[behaviorKey]; !strings.Contains(got, `"ScaleUp":null`) {
		t.Errorf("behavior %s", got)
	}
	if in.Annotations[metricsKey] != "stale" {
		t.Error("the argument was changed")
	}
}

func TestWrongTypes(t *testing.T) {
	if _, err := toV2(&autoscalingv2.HorizontalPodAutoscaler{}); err == nil {
		t.Error("version 2 was taken for version 1")
	}
}

func FuzzToVersion2(f *testing.F) {
	f.Add(`[{"type":"Object","object":{}}]`, `{"ScaleUp":{"Policies":[{}]}}`, `[{}]`, `[{"type":"Resource"}]`)
	f.Fuzz(func(t *testing.T, metrics, behavior, conditions, statuses string) {
		in := &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: meta1(map[string]string{
			metricsKey: metrics, behaviorKey: behavior, conditionsKey: conditions, statusesKey: statuses,
		})}
		out, err := toV2(in)
		if err != nil {
			t.Fatal(err)
		}
		defaultAutoscaler(out)
		if _, err := toV1(out); err != nil {
			t.Fatal(err)
		}
		autoscalerRow(out, out.CreationTimestamp.Time)
	})
}

func meta1(annotations map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Annotations: annotations}
}
