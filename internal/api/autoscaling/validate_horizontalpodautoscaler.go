package autoscaling

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of behavior, in seconds.
const (
	maxPeriod        = 1800
	maxStabilization = 3600
)

// versionRule is how strictly the apiVersion of a reference is judged.
type versionRule int

const (
	versionWithGroup versionRule = iota
	versionAny
	versionUnjudged
)

type autoscalerRules struct {
	target versionRule
	object versionRule
}

func validateAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	return autoscalerRules{targetRule(h), versionAny}.validate(field.NewPath("spec"), &h.Spec)
}

func validateAutoscalerUpdate(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	rules := autoscalerRules{targetRule(h), versionAny}
	now, before := h.Spec.ScaleTargetRef, old.Spec.ScaleTargetRef
	// References were not judged once.
	if now.Kind == before.Kind && now.APIVersion == before.APIVersion {
		rules.target = versionUnjudged
	}
	for i := range old.Spec.Metrics {
		m := &old.Spec.Metrics[i]
		if m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil &&
			versionAny.problem(m.Object.DescribedObject.APIVersion) != "" {
			rules.object = versionUnjudged
		}
	}
	return rules.validate(field.NewPath("spec"), &h.Spec)
}

// targetRule: of the kinds in the core group only one has replicas.
func targetRule(h *autoscalingv2.HorizontalPodAutoscaler) versionRule {
	if h.Spec.ScaleTargetRef.Kind == "ReplicationController" {
		return versionAny
	}
	return versionWithGroup
}

func (r autoscalerRules) validate(at *field.Path, s *autoscalingv2.HorizontalPodAutoscalerSpec) field.ErrorList {
	var errs field.ErrorList
	if s.MinReplicas != nil && *s.MinReplicas < 0 {
		errs = append(errs, field.Invalid(at.Child("minReplicas"), *s.MinReplicas, "must be greater than or equal to 0"))
	}
	high := at.Child("maxReplicas")
	switch {
	case s.MaxReplicas == 0:
		errs = append(errs, field.Required(high, ""))
	case s.MaxReplicas < 0:
		errs = append(errs, field.Invalid(high, s.MaxReplicas, "must be greater than or equal to 1"))
	}
	if s.MinReplicas != nil && s.MaxReplicas < *s.MinReplicas {
		errs = append(errs, field.Invalid(high, s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, r.target.validate(at.Child("scaleTargetRef"), s.ScaleTargetRef)...)
	errs = append(errs, r.validateMetrics(at.Child("metrics"), s)...)
	if b := s.Behavior; b != nil {
		errs = append(errs, validateRules(at.Child("behavior", "scaleUp"), b.ScaleUp)...)
		errs = append(errs, validateRules(at.Child("behavior", "scaleDown"), b.ScaleDown)...)
	}
	return errs
}

func (v versionRule) validate(at *field.Path, ref autoscalingv2.CrossVersionObjectReference) field.ErrorList {
	errs := rule.GivenName(at.Child("kind"), ref.Kind, meta.PathSegment)
	errs = append(errs, rule.GivenName(at.Child("name"), ref.Name, meta.PathSegment)...)
	if why := v.problem(ref.APIVersion); why != "" {
		errs = append(errs, field.Invalid(at.Child("apiVersion"), ref.APIVersion, why))
	}
	return errs
}

// problem says what is wrong with an apiVersion, and "" when nothing is.
func (v versionRule) problem(version string) string {
	if v == versionUnjudged {
		return ""
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return err.Error()
	}
	if v == versionWithGroup && gv.Group == "" {
		return "apiVersion must specify API group"
	}
	return ""
}

func validateRules(at *field.Path, r *autoscalingv2.HPAScalingRules) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if w := r.StabilizationWindowSeconds; w != nil {
		at := at.Child("stabilizationWindowSeconds")
		switch {
		case *w < 0:
			errs = append(errs, field.Invalid(at, *w, "must be greater than or equal to zero"))
		case *w > maxStabilization:
			errs = append(errs, field.Invalid(at, *w, fmt.Sprintf("must be less than or equal to %v", maxStabilization)))
		}
	}
	errs = append(errs, rule.MaybeOneOf(at.Child("selectPolicy"), r.SelectPolicy,
		autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(at.Child("policies"), "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		errs = append(errs, validateScalingPolicy(at.Child("policies").Index(i), p)...)
	}
	if r.Tolerance != nil {
		errs = append(errs, rule.NonNegativeQuantity(at.Child("tolerance"), *r.Tolerance)...)
	}
	return errs
}

func validateScalingPolicy(at *field.Path, p autoscalingv2.HPAScalingPolicy) field.ErrorList {
	errs := rule.OneOf(at.Child("type"), p.Type, autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)
	errs = append(errs, rule.Positive(at.Child("value"), p.Value)...)
	errs = append(errs, rule.Positive(at.Child("periodSeconds"), p.PeriodSeconds)...)
	if p.PeriodSeconds > maxPeriod {
		errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds,
			fmt.Sprintf("must be less than or equal to %v", maxPeriod)))
	}
	return errs
}

func validateAutoscalerStatus(h, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	at := field.NewPath("status")
	var errs field.ErrorList
	for i := range h.Status.Conditions {
		errs = append(errs, rule.MaybeNonNegative(at.Child("conditions").Index(i).Child("observedGeneration"),
			h.Status.Conditions[i].ObservedGeneration)...)
	}
	errs = append(errs, rule.NonNegative(at.Child("currentReplicas"), h.Status.CurrentReplicas)...)
	return append(errs, rule.NonNegative(at.Child("desiredReplicas"), h.Status.DesiredReplicas)...)
}
