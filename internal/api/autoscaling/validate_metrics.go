package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func (r autoscalerRules) validateMetrics(at *field.Path, s *autoscalingv2.HorizontalPodAutoscalerSpec) field.ErrorList {
	var errs field.ErrorList
	fromOutside := false
	for i := range s.Metrics {
		m := &s.Metrics[i]
		errs = append(errs, r.validateMetric(at.Index(i), m)...)
		fromOutside = fromOutside || m.Type == autoscalingv2.ObjectMetricSourceType ||
			m.Type == autoscalingv2.ExternalMetricSourceType
	}
	// Without pods only these can tell that pods are wanted.
	if s.MinReplicas != nil && *s.MinReplicas == 0 && !fromOutside {
		errs = append(errs, field.Forbidden(at,
			"must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

// metricSource is one of the fields of a metric, of which its type wants one.
type metricSource struct {
	kind  autoscalingv2.MetricSourceType
	name  string
	set   bool
	judge func(at *field.Path) field.ErrorList
}

func (r autoscalerRules) sources(m *autoscalingv2.MetricSpec) []metricSource {
	return []metricSource{
		{
			autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil,
			func(at *field.Path) field.ErrorList { return r.validateObject(at, m.Object) },
		},
		{
			autoscalingv2.ExternalMetricSourceType, "external", m.External != nil,
			func(at *field.Path) field.ErrorList { return validateExternal(at, m.External) },
		},
		{
			autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil,
			func(at *field.Path) field.ErrorList { return validatePods(at, m.Pods) },
		},
		{
			autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil,
			func(at *field.Path) field.ErrorList { return validateResource(at, m.Resource) },
		},
		{
			autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil,
			func(at *field.Path) field.ErrorList { return validateContainerResource(at, m.ContainerResource) },
		},
	}
}

func (r autoscalerRules) validateMetric(at *field.Path, m *autoscalingv2.MetricSpec) field.ErrorList {
	var errs field.ErrorList
	sources := r.sources(m)
	set, known := 0, false
	for _, s := range sources {
		if s.set {
			set++
			// Of several only the first is looked into: the others have to go anyway.
			if set == 1 {
				errs = append(errs, s.judge(at.Child(s.name))...)
			}
		}
		if s.kind == m.Type {
			known = true
			if !s.set {
				errs = append(errs, field.Required(at.Child(s.name), "must populate information for the given metric source"))
			}
		}
	}
	if m.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), "must specify a metric source type"))
	}
	if !known {
		errs = append(errs, field.NotSupported(at.Child("type"), m.Type, []autoscalingv2.MetricSourceType{
			autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType,
			autoscalingv2.ObjectMetricSourceType, autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
		}))
	}
	for _, s := range sources {
		if set > 1 && s.set && s.kind != m.Type {
			errs = append(errs, field.Forbidden(at.Child(s.name), "must populate the given metric source only"))
		}
	}
	return errs
}

func (r autoscalerRules) validateObject(at *field.Path, m *autoscalingv2.ObjectMetricSource) field.ErrorList {
	errs := r.object.validate(at.Child("describedObject"), m.DescribedObject)
	errs = append(errs, validateIdentifier(at.Child("metric"), m.Metric)...)
	errs = append(errs, validateTarget(at.Child("target"), &m.Target)...)
	if m.Target.Value == nil && m.Target.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func validateExternal(at *field.Path, m *autoscalingv2.ExternalMetricSource) field.ErrorList {
	errs := validateIdentifier(at.Child("metric"), m.Metric)
	at = at.Child("target")
	errs = append(errs, validateTarget(at, &m.Target)...)
	switch {
	case m.Target.Value == nil && m.Target.AverageValue == nil:
		errs = append(errs, field.Required(at.Child("averageValue"),
			"must set either a target value for metric or a per-pod target"))
	case m.Target.Value != nil && m.Target.AverageValue != nil:
		errs = append(errs, field.Forbidden(at.Child("value"),
			"may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func validatePods(at *field.Path, m *autoscalingv2.PodsMetricSource) field.ErrorList {
	errs := validateIdentifier(at.Child("metric"), m.Metric)
	errs = append(errs, validateTarget(at.Child("target"), &m.Target)...)
	if m.Target.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

const noResourceName = "must specify a resource name"

func validateResource(at *field.Path, m *autoscalingv2.ResourceMetricSource) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), noResourceName))
	}
	return append(errs, validateResourceTarget(at.Child("target"), &m.Target)...)
}

func validateContainerResource(at *field.Path, m *autoscalingv2.ContainerResourceMetricSource) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), noResourceName))
	} else {
		errs = append(errs, core.ValidateContainerResourceName(at.Child("name"), m.Name)...)
	}
	if m.Container == "" {
		errs = append(errs, field.Required(at.Child("container"), "must specify a container"))
	} else {
		errs = append(errs, rule.DNSLabel(at.Child("container"), m.Container)...)
	}
	return append(errs, validateResourceTarget(at.Child("target"), &m.Target)...)
}

// validateResourceTarget wants a share of the request or an amount.
func validateResourceTarget(at *field.Path, t *autoscalingv2.MetricTarget) field.ErrorList {
	errs := validateTarget(at, t)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(at.Child("averageUtilization"),
			"must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(at.Child("averageValue"),
			"may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateTarget(at *field.Path, t *autoscalingv2.MetricTarget) field.ErrorList {
	var errs field.ErrorList
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		if t.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), "must specify a metric target type"))
		}
		errs = append(errs, field.Invalid(at.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	positive := func(name string, q *resource.Quantity) {
		if q != nil && q.Sign() <= 0 {
			errs = append(errs, field.Invalid(at.Child(name), q.String(), "must be positive"))
		}
	}
	positive("value", t.Value)
	positive("averageValue", t.AverageValue)
	if u := t.AverageUtilization; u != nil && *u < 1 {
		errs = append(errs, field.Invalid(at.Child("averageUtilization"), *u, "must be greater than 0"))
	}
	return errs
}

func validateIdentifier(at *field.Path, m autoscalingv2.MetricIdentifier) field.ErrorList {
	if m.Name == "" {
		return field.ErrorList{field.Required(at.Child("name"), "must specify a metric name")}
	}
	return rule.Name(at.Child("name"), m.Name, meta.PathSegment)
}
