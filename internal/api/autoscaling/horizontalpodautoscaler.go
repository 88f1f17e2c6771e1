package autoscaling

import (
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

// defaultUtilization is the CPU utilization, in percent of the request, that is aimed at when no metric is given.
const defaultUtilization = 80

func horizontalPodAutoscaler() *api.Resource {
	r := meta.Entry[*autoscalingv2.HorizontalPodAutoscaler]{
		Group:   autoscalingv2.GroupName,
		Version: "v2", Kind: "HorizontalPodAutoscaler", Plural: "horizontalpodautoscalers",
		Short:      []string{"hpa"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[autoscalingv2.HorizontalPodAutoscaler],
		NewList:    meta.Empty[autoscalingv2.HorizontalPodAutoscalerList],
		Path:       "horizontalpodautoscalers",
		Subresources: []api.Subresource{
			meta.Status(autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
				meta.Empty[autoscalingv2.HorizontalPodAutoscaler]),
		},
		Default: defaultAutoscaler,
		PrepareCreate: func(h *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
			h.Generation = 1
		},
		PrepareUpdate: func(h, old *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = old.Status
			if !equality.Semantic.DeepEqual(h.Spec, old.Spec) {
				h.Generation++
			}
		},
		PrepareStatus:       func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Spec = old.Spec },
		UnconditionalUpdate: true,
		Columns:             autoscalerColumns(),
		Row:                 autoscalerRow,
		Validate:            validateAutoscaler,
		ValidateUpdate:      validateAutoscalerUpdate,
		ValidateStatus:      validateAutoscalerStatus,
	}.Resource()
	r.Versions = append(r.Versions, api.Version{
		Name:       "v1",
		New:        meta.Empty[autoscalingv1.HorizontalPodAutoscaler],
		NewList:    meta.Empty[autoscalingv1.HorizontalPodAutoscalerList],
		ToStored:   func(obj runtime.Object) (api.Object, error) { return toV2(obj) },
		FromStored: func(obj api.Object) (runtime.Object, error) { return toV1(obj) },
	})
	return r
}

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	// Version 1 carries what it lacks in annotations; version 2 never has them.
	h.Annotations = withoutRoundTrip(h.Annotations)
	if h.Spec.MinReplicas == nil {
		h.Spec.MinReplicas = new(int32(1))
	}
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultUtilization)}
	}
	if b := h.Spec.Behavior; b != nil {
		b.ScaleUp = completeRules(b.ScaleUp, autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: new(int32(0)),
			Policies: []autoscalingv2.HPAScalingPolicy{
				{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
				{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
			},
		})
		// How long to wait before scaling down is the controller's own flag.
		b.ScaleDown = completeRules(b.ScaleDown, autoscalingv2.HPAScalingRules{
			Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}},
		})
	}
}

func cpuMetric(utilization int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization,
			},
		},
	}
}

// completeRules lays the given rules over the defaults.
func completeRules(given *autoscalingv2.HPAScalingRules, rules autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	rules.SelectPolicy = new(autoscalingv2.MaxChangePolicySelect)
	if given == nil {
		return &rules
	}
	if given.SelectPolicy != nil {
		rules.SelectPolicy = given.SelectPolicy
	}
	if given.StabilizationWindowSeconds != nil {
		rules.StabilizationWindowSeconds = given.StabilizationWindowSeconds
	}
	if given.Policies != nil {
		rules.Policies = given.Policies
	}
	rules.Tolerance = given.Tolerance
	return &rules
}

func autoscalerColumns() []metav1.TableColumnDefinition {
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Reference", spec["scaleTargetRef"]),
		meta.Column("Targets", spec["metrics"]),
		meta.Column("MinPods", spec["minReplicas"]),
		meta.Column("MaxPods", spec["maxReplicas"]),
		meta.Column("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
		meta.AgeColumn(),
	}
}

func autoscalerRow(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
	low := meta.Unset
	if h.Spec.MinReplicas != nil {
		low = fmt.Sprint(*h.Spec.MinReplicas)
	}
	return []any{
		h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name,
		metricsText(h.Spec.Metrics, h.Status.CurrentMetrics),
		low, int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), meta.Age(h, now),
	}
}
