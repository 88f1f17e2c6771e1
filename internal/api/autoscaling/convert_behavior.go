package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The behavior annotation has always been written with capital letters and with absent parts as null. These types keep that
// form; it is read in either case.

type behaviorNote struct {
	ScaleUp   *rulesNote
	ScaleDown *rulesNote
}

type rulesNote struct {
	StabilizationWindowSeconds *int32
	SelectPolicy               *autoscalingv2.ScalingPolicySelect
	Policies                   []policyNote
	Tolerance                  *resource.Quantity
}

type policyNote struct {
	Type          autoscalingv2.HPAScalingPolicyType
	Value         int32
	PeriodSeconds int32
}

func behaviorToNote(b *autoscalingv2.HorizontalPodAutoscalerBehavior) behaviorNote {
	return behaviorNote{ScaleUp: rulesToNote(b.ScaleUp), ScaleDown: rulesToNote(b.ScaleDown)}
}

func rulesToNote(r *autoscalingv2.HPAScalingRules) *rulesNote {
	if r == nil {
		return nil
	}
	n := &rulesNote{
		StabilizationWindowSeconds: r.StabilizationWindowSeconds,
		SelectPolicy:               r.SelectPolicy,
		Tolerance:                  r.Tolerance,
	}
	for _, p := range r.Policies {
		n.Policies = append(n.Policies, policyNote(p))
	}
	return n
}

func (b behaviorNote) toV2() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: b.ScaleUp.toV2(), ScaleDown: b.ScaleDown.toV2()}
}

func (r *rulesNote) toV2() *autoscalingv2.HPAScalingRules {
	if r == nil {
		return nil
	}
	out := &autoscalingv2.HPAScalingRules{
		StabilizationWindowSeconds: r.StabilizationWindowSeconds,
		SelectPolicy:               r.SelectPolicy,
		Tolerance:                  r.Tolerance,
	}
	for _, p := range r.Policies {
		out.Policies = append(out.Policies, autoscalingv2.HPAScalingPolicy(p))
	}
	return out
}
