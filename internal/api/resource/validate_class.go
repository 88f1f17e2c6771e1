package resource

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

const maxRuleConditions = 8

func validateClass(c *resourcev1.DeviceClass) field.ErrorList { return validateClassSpec(&c.Spec, nil) }

func validateClassUpdate(c, old *resourcev1.DeviceClass) field.ErrorList {
	return validateClassSpec(&c.Spec, &old.Spec)
}

func validateClassSpec(s, old *resourcev1.DeviceClassSpec) field.ErrorList {
	at := field.NewPath("spec")
	sameSelectors := old != nil && equality.Semantic.DeepEqual(s.Selectors, old.Selectors)
	errs := validateSelectors(at.Child("selectors"), s.Selectors, sameSelectors)
	if len(s.Config) > resourcev1.DeviceConfigMaxSize {
		errs = append(errs, rule.MaxItems(at.Child("config"), len(s.Config), resourcev1.DeviceConfigMaxSize)...)
	} else {
		sameConfig := old != nil && equality.Semantic.DeepEqual(s.Config, old.Config)
		for i := range s.Config {
			errs = append(errs, validateConfiguration(
				at.Child("config").Index(i), s.Config[i].DeviceConfiguration, sameConfig)...)
		}
	}
	if s.ExtendedResourceName != nil {
		errs = append(errs, validateExtendedName(at.Child("extendedResourceName"), *s.ExtendedResourceName)...)
	}
	return errs
}

// validateExtendedName judges the name under which pods can ask for devices as they ask for memory. It must fit into a quota,
// with a prefix.
func validateExtendedName(at *field.Path, name string) field.ErrorList {
	const prefix = corev1.DefaultResourceRequestsPrefix
	var errs field.ErrorList
	switch {
	case !strings.Contains(name, "/"):
		errs = append(errs, field.Invalid(at, name, "a name must be a domain-prefixed path, such as 'example.com/my-prop'"))
	case strings.Contains(name, corev1.ResourceDefaultNamespacePrefix):
		errs = append(errs, field.Invalid(at, name,
			fmt.Sprintf("must not have %q domain", corev1.ResourceDefaultNamespacePrefix)))
	}
	if strings.HasPrefix(name, prefix) {
		errs = append(errs, field.Invalid(at, name, fmt.Sprintf("must not have %q prefix", prefix)))
	}
	return append(errs, rule.Messages(at, name, content.IsLabelKey(prefix+name))...)
}

func validateTaintRule(r *resourcev1.DeviceTaintRule) field.ErrorList {
	return validateTaintRuleSpec(&r.Spec, nil)
}

func validateTaintRuleUpdate(r, old *resourcev1.DeviceTaintRule) field.ErrorList {
	return validateTaintRuleSpec(&r.Spec, &old.Spec.Taint)
}

func validateTaintRuleSpec(s *resourcev1.DeviceTaintRuleSpec, old *resourcev1.DeviceTaint) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if d := s.DeviceSelector; d != nil {
		at := at.Child("deviceSelector")
		if d.Driver != nil {
			errs = append(errs, core.ValidateCSIDriverName(at.Child("driver"), *d.Driver)...)
		}
		if d.Pool != nil {
			errs = append(errs, validatePool(at.Child("pool"), *d.Pool)...)
		}
		if d.Device != nil {
			errs = append(errs, rule.DNSLabel(at.Child("device"), *d.Device)...)
		}
	}
	return append(errs, validateTaint(at.Child("taint"), &s.Taint, old)...)
}

func validateTaintRuleStatus(r, _ *resourcev1.DeviceTaintRule) field.ErrorList {
	at := field.NewPath("status", "conditions")
	errs := metavalidation.ValidateConditions(r.Status.Conditions, at)
	return append(errs, rule.MaxItems(at, len(r.Status.Conditions), maxRuleConditions)...)
}

// validateAllocation judges which devices a claim was given.
func (n requestNames) validateAllocation(at *field.Path, a *resourcev1.AllocationResult) field.ErrorList {
	results, config := at.Child("devices", "results"), at.Child("devices", "config")
	errs := rule.MaxItems(results, len(a.Devices.Results), resourcev1.AllocationResultsMaxSize)
	for i := range a.Devices.Results {
		r, at := &a.Devices.Results[i], results.Index(i)
		errs = append(errs, n.validateReference(at.Child("request"), r.Request)...)
		errs = append(errs, rule.DriverName(at.Child("driver"), r.Driver)...)
		errs = append(errs, validatePool(at.Child("pool"), r.Pool)...)
		errs = append(errs, rule.DNSLabel(at.Child("device"), r.Device)...)
		for k := range r.Tolerations {
			errs = append(errs, validateToleration(at.Child("tolerations").Index(k), &r.Tolerations[k])...)
		}
	}
	// Both the class and the claim may have configuration.
	errs = append(errs, rule.MaxItems(config, len(a.Devices.Config), 2*resourcev1.DeviceConfigMaxSize)...)
	for i := range a.Devices.Config {
		c, at := &a.Devices.Config[i], config.Index(i)
		errs = append(errs, rule.GivenOneOf(at.Child("source"), c.Source,
			resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass)...)
		errs = append(errs, n.validate(at.Child("requests"), c.Requests)...)
		errs = append(errs, validateConfiguration(at, c.DeviceConfiguration, false)...)
	}
	if a.NodeSelector != nil {
		errs = append(errs, core.ValidateNodeSelector(at.Child("nodeSelector"), a.NodeSelector, false)...)
	}
	return errs
}

func (n requestNames) validateReference(at *field.Path, name string) field.ErrorList {
	parts := strings.Split(name, "/")
	if len(parts) > 2 {
		return field.ErrorList{field.Invalid(at, name, unknownRequest)}
	}
	var errs field.ErrorList
	for _, p := range parts {
		errs = append(errs, rule.DNSLabel(at, p)...)
	}
	subs, ok := n[parts[0]]
	if !ok || len(parts) == 2 && !subs.Has(parts[1]) {
		errs = append(errs, field.Invalid(at, name, unknownRequest))
	}
	return errs
}
