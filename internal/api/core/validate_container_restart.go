package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Limits of a container's restart rules.
const (
	maxRestartRules     = 20
	maxRestartExitCodes = 255
)

// validateRestartRules judges a container's own restart policy and its exceptions by exit code.
func validateRestartRules(at *field.Path, c *corev1.Container) field.ErrorList {
	rules := at.Child("restartPolicyRules")
	var errs field.ErrorList
	switch {
	case c.RestartPolicy == nil && len(c.RestartPolicyRules) == 0:
		return nil
	case c.RestartPolicy == nil:
		errs = append(errs, field.Required(at.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
	default:
		errs = append(errs, rule.OneOf(at.Child("restartPolicy"), *c.RestartPolicy, corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	}
	errs = append(errs, rule.MaxItems(rules, len(c.RestartPolicyRules), maxRestartRules)...)
	for i, r := range c.RestartPolicyRules {
		at := rules.Index(i)
		errs = append(errs, rule.OneOf(at.Child("action"), r.Action,
			corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		if r.ExitCodes == nil {
			errs = append(errs, field.Required(at.Child("exitCodes"), "must be specified"))
			continue
		}
		at = at.Child("exitCodes")
		errs = slices.Concat(errs,
			rule.OneOf(at.Child("operator"), r.ExitCodes.Operator,
				corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn),
			rule.MaxItems(at.Child("values"), len(r.ExitCodes.Values), maxRestartExitCodes))
	}
	return errs
}

// validateResizePolicy judges what a change of CPU or memory does to a running container.
func (j *podJudge) validateResizePolicy(at *field.Path, policies []corev1.ContainerResizePolicy) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceName]bool{}
	for i, p := range policies {
		if seen[p.ResourceName] {
			errs = append(errs, field.Duplicate(at.Index(i), p.ResourceName))
		}
		seen[p.ResourceName] = true
		errs = slices.Concat(errs,
			rule.GivenOneOf(at, p.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory),
			rule.GivenOneOf(at, p.RestartPolicy, corev1.NotRequired, corev1.RestartContainer))
		if j.spec.RestartPolicy == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(at, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}
