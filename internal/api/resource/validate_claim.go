package resource

import (
	"fmt"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateClaim(c *resourcev1.ResourceClaim) field.ErrorList {
	return validateClaimSpec(field.NewPath("spec", "devices"), &c.Spec.Devices)
}

// validateClaimUpdate: a claim that has been made stays as it is.
func validateClaimUpdate(c, old *resourcev1.ResourceClaim) field.ErrorList {
	return rule.Unchanged(field.NewPath("spec"), c.Spec, old.Spec)
}

func validateTemplate(t *resourcev1.ResourceClaimTemplate) field.ErrorList {
	return validateClaimSpec(field.NewPath("spec", "spec", "devices"), &t.Spec.Spec.Devices)
}

func validateTemplateUpdate(t, old *resourcev1.ResourceClaimTemplate) field.ErrorList {
	return rule.Unchanged(field.NewPath("spec"), t.Spec, old.Spec)
}

// requestNames are the requests of a claim, each with those of its alternatives.
type requestNames map[string]sets.Set[string]

func namesOf(c *resourcev1.DeviceClaim) requestNames {
	names := requestNames{}
	for i := range c.Requests {
		subs := sets.New[string]()
		for k := range c.Requests[i].FirstAvailable {
			subs.Insert(c.Requests[i].FirstAvailable[k].Name)
		}
		names[c.Requests[i].Name] = subs
	}
	return names
}

const unknownRequest = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

func (n requestNames) validate(at *field.Path, list []string) field.ErrorList {
	if len(list) > resourcev1.DeviceRequestsMaxSize {
		return rule.MaxItems(at, len(list), resourcev1.DeviceRequestsMaxSize)
	}
	var errs field.ErrorList
	for i, name := range list {
		errs = append(errs, n.validateReference(at.Index(i), name)...)
	}
	return append(errs, rule.NoDuplicates(at, list)...)
}

func validateClaimSpec(at *field.Path, c *resourcev1.DeviceClaim) field.ErrorList {
	errs := validateRequests(at.Child("requests"), c.Requests)
	names := namesOf(c)
	if len(c.Constraints) > resourcev1.DeviceConstraintsMaxSize {
		errs = append(errs, rule.MaxItems(at.Child("constraints"), len(c.Constraints), resourcev1.DeviceConstraintsMaxSize)...)
	} else {
		for i := range c.Constraints {
			errs = append(errs, names.validateConstraint(at.Child("constraints").Index(i), &c.Constraints[i])...)
		}
	}
	if len(c.Config) > resourcev1.DeviceConfigMaxSize {
		return append(errs, rule.MaxItems(at.Child("config"), len(c.Config), resourcev1.DeviceConfigMaxSize)...)
	}
	for i := range c.Config {
		at := at.Child("config").Index(i)
		errs = append(errs, names.validate(at.Child("requests"), c.Config[i].Requests)...)
		errs = append(errs, validateConfiguration(at, c.Config[i].DeviceConfiguration, false)...)
	}
	return errs
}

func (n requestNames) validateConstraint(at *field.Path, c *resourcev1.DeviceConstraint) field.ErrorList {
	errs := n.validate(at.Child("requests"), c.Requests)
	switch {
	case c.MatchAttribute != nil:
		return append(errs, validateFullName(at.Child("matchAttribute"), *c.MatchAttribute)...)
	case c.DistinctAttribute != nil:
		return append(errs, validateFullName(at.Child("distinctAttribute"), *c.DistinctAttribute)...)
	}
	return append(errs, field.Required(at,
		`exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set`))
}

func validateRequests(at *field.Path, list []resourcev1.DeviceRequest) field.ErrorList {
	if len(list) > resourcev1.DeviceRequestsMaxSize {
		return rule.MaxItems(at, len(list), resourcev1.DeviceRequestsMaxSize)
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range list {
		r, at := &list[i], at.Index(i)
		errs = append(errs, rule.DNSLabel(at.Child("name"), r.Name)...)
		errs = append(errs, validateRequest(at, r)...)
		if seen.Has(r.Name) {
			errs = append(errs, field.Duplicate(at, r.Name))
		}
		seen.Insert(r.Name)
	}
	return errs
}

func validateRequest(at *field.Path, r *resourcev1.DeviceRequest) field.ErrorList {
	const exactlyOne = "exactly one of `exactly` or `firstAvailable` is required"
	switch {
	case r.Exactly == nil && len(r.FirstAvailable) == 0:
		return field.ErrorList{field.Required(at, exactlyOne)}
	case r.Exactly != nil && len(r.FirstAvailable) > 0:
		return field.ErrorList{field.Invalid(at, nil, exactlyOne+", but multiple fields are set")}
	case r.Exactly != nil:
		e := r.Exactly
		return validateWanted(at.Child("exactly"),
			wanted{e.DeviceClassName, e.Selectors, e.AllocationMode, e.Count, e.Tolerations})
	}
	at = at.Child("firstAvailable")
	if len(r.FirstAvailable) > resourcev1.FirstAvailableDeviceRequestMaxSize {
		return rule.MaxItems(at, len(r.FirstAvailable), resourcev1.FirstAvailableDeviceRequestMaxSize)
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range r.FirstAvailable {
		s, at := &r.FirstAvailable[i], at.Index(i)
		errs = append(errs, rule.DNSLabel(at.Child("name"), s.Name)...)
		errs = append(errs, validateWanted(at,
			wanted{s.DeviceClassName, s.Selectors, s.AllocationMode, s.Count, s.Tolerations})...)
		if seen.Has(s.Name) {
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		seen.Insert(s.Name)
	}
	return errs
}

// wanted is what both forms of a request have.
type wanted struct {
	class       string
	selectors   []resourcev1.DeviceSelector
	mode        resourcev1.DeviceAllocationMode
	count       int64
	tolerations []resourcev1.DeviceToleration
}

func validateWanted(at *field.Path, w wanted) field.ErrorList {
	class := at.Child("deviceClassName")
	errs := rule.Given(class, w.class)
	if w.class != "" {
		errs = append(errs, rule.DNSSubdomain(class, w.class)...)
	}
	errs = append(errs, validateSelectors(at.Child("selectors"), w.selectors, false)...)
	switch w.mode {
	case resourcev1.DeviceAllocationModeAll:
		if w.count != 0 {
			errs = append(errs, field.Invalid(at.Child("count"), w.count,
				fmt.Sprintf("must not be specified when allocationMode is '%s'", w.mode)))
		}
	case resourcev1.DeviceAllocationModeExactCount:
		errs = append(errs, rule.Positive(at.Child("count"), w.count)...)
	default:
		errs = append(errs, rule.OneOf(at.Child("allocationMode"), w.mode,
			resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount)...)
	}
	for i := range w.tolerations {
		errs = append(errs, validateToleration(at.Child("tolerations").Index(i), &w.tolerations[i])...)
	}
	return errs
}

func validateToleration(at *field.Path, t *resourcev1.DeviceToleration) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, rule.LabelKey(at.Child("key"), t.Key)...)
	}
	switch t.Operator {
	case resourcev1.DeviceTolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, "must be empty for operator `Exists`"))
		}
	case resourcev1.DeviceTolerationOpEqual:
		errs = append(errs, validateLabelValue(at.Child("value"), t.Value)...)
	default:
		errs = append(errs, rule.GivenOneOf(at.Child("operator"), t.Operator,
			resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists)...)
	}
	if t.Effect != "" {
		errs = append(errs, rule.OneOf(at.Child("effect"), t.Effect, taintEffects()...)...)
	}
	return errs
}

func taintEffects() []resourcev1.DeviceTaintEffect {
	return []resourcev1.DeviceTaintEffect{
		resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone,
	}
}

// validateClaimStatus judges who uses the claim. An allocation that is there cannot change but for going away.
func validateClaimStatus(c, old *resourcev1.ResourceClaim) field.ErrorList {
	at, s := field.NewPath("status"), &c.Status
	reserved := at.Child("reservedFor")
	errs := validateConsumers(reserved, s.ReservedFor)
	if len(s.ReservedFor) > 0 {
		added := slices.ContainsFunc(s.ReservedFor, func(r resourcev1.ResourceClaimConsumerReference) bool {
			return !slices.Contains(old.Status.ReservedFor, r)
		})
		switch {
		case s.Allocation == nil:
			errs = append(errs, field.Forbidden(reserved, "may not be specified when `allocated` is not set"))
		case c.DeletionTimestamp != nil && added:
			errs = append(errs, field.Forbidden(reserved,
				"new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"))
		}
	}
	switch {
	case s.Allocation == nil:
	case old.Status.Allocation != nil:
		errs = append(errs, rule.Unchanged(at.Child("allocation"), s.Allocation, old.Status.Allocation)...)
	default:
		errs = append(errs, namesOf(&c.Spec.Devices).validateAllocation(at.Child("allocation"), s.Allocation)...)
	}
	return errs
}

func validateConsumers(at *field.Path, list []resourcev1.ResourceClaimConsumerReference) field.ErrorList {
	if len(list) > resourcev1.ResourceClaimReservedForMaxSize {
		return rule.MaxItems(at, len(list), resourcev1.ResourceClaimReservedForMaxSize)
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, r := range list {
		at := at.Index(i)
		errs = append(errs, rule.Given(at.Child("resource"), r.Resource)...)
		errs = append(errs, rule.Given(at.Child("name"), r.Name)...)
		errs = append(errs, rule.Given(at.Child("uid"), r.UID)...)
		if seen.Has(string(r.UID)) {
			errs = append(errs, field.Duplicate(at, r.UID))
		}
		seen.Insert(string(r.UID))
	}
	return errs
}
