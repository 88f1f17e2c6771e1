package resource

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of a slice's devices.
const (
	maxPlainDevices    = 128
	maxAdvancedDevices = 64
	maxCounterSets     = 8
	maxConsumedSets    = 2
	maxCountersEach    = 32
	maxPropertiesEach  = 32
	maxTaintsEach      = 16
	maxValueBytes      = 64
)

// semanticVersion follows the grammar of semver.org: three numbers, parts of a pre-release, build metadata.
var semanticVersion = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

func validateSlice(s *resourcev1.ResourceSlice) field.ErrorList {
	return validateSliceSpec(&s.Spec, nil)
}

func validateSliceUpdate(s, old *resourcev1.ResourceSlice) field.ErrorList {
	at := field.NewPath("spec")
	errs := rule.Unchanged(at.Child("pool", "name"), s.Spec.Pool.Name, old.Spec.Pool.Name)
	errs = append(errs, rule.Unchanged(at.Child("driver"), s.Spec.Driver, old.Spec.Driver)...)
	errs = append(errs, rule.Unchanged(at.Child("nodeName"), s.Spec.NodeName, old.Spec.NodeName)...)
	return append(errs, validateSliceSpec(&s.Spec, &old.Spec)...)
}

func validateSliceSpec(s, old *resourcev1.ResourceSliceSpec) field.ErrorList {
	at := field.NewPath("spec")
	errs := core.ValidateCSIDriverName(at.Child("driver"), s.Driver)
	pool := at.Child("pool")
	errs = append(errs, validatePool(pool.Child("name"), s.Pool.Name)...)
	errs = append(errs, rule.Positive(pool.Child("resourceSliceCount"), s.Pool.ResourceSliceCount)...)
	if s.Pool.Generation < 0 {
		errs = append(errs, field.Invalid(pool.Child("generation"), s.Pool.Generation, "must be greater than or equal to zero"))
	}
	errs = append(errs, validateSliceNodes(at, s)...)
	if s.SharedCounters != nil && s.Devices != nil {
		errs = append(errs, field.Invalid(at, "", "only one of `sharedCounters` or `devices` is allowed"))
	}
	if len(s.SharedCounters) > maxCounterSets {
		errs = append(errs, rule.MaxItems(at.Child("sharedCounters"), len(s.SharedCounters), maxCounterSets)...)
	} else {
		errs = append(errs, validateCounterSets(at.Child("sharedCounters"), s.SharedCounters)...)
	}
	devices, limit := at.Child("devices"), maxPlainDevices
	if slices.ContainsFunc(s.Devices, isAdvanced) {
		limit = maxAdvancedDevices
	}
	if len(s.Devices) > limit {
		return append(errs, rule.MaxItems(devices, len(s.Devices), limit)...)
	}
	seen := sets.New[string]()
	for i := range s.Devices {
		d, at := &s.Devices[i], devices.Index(i)
		errs = append(errs, validateDevice(at, d, deviceOf(old, d.Name), meta.Deref(s.PerDeviceNodeSelection))...)
		if seen.Has(d.Name) {
			errs = append(errs, field.Duplicate(at, d.Name))
		}
		seen.Insert(d.Name)
	}
	return errs
}

func validateCounterSets(at *field.Path, list []resourcev1.CounterSet) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range list {
		errs = append(errs, validateCounters(at.Index(i), "name", list[i].Name, list[i].Counters)...)
		if seen[list[i].Name] {
			errs = append(errs, field.Duplicate(at.Index(i), list[i].Name))
		}
		seen[list[i].Name] = true
	}
	return errs
}

// validateCounters judges counters and the name of their set, which is in a field of its own.
func validateCounters(at *field.Path, nameField, name string, counters map[string]resourcev1.Counter) field.ErrorList {
	errs := rule.ShortName(at.Child(nameField), name)
	at = at.Child("counters")
	switch {
	case len(counters) == 0:
		return append(errs, field.Required(at, ""))
	case len(counters) > maxCountersEach:
		return append(errs, rule.MaxItems(at, len(counters), maxCountersEach)...)
	}
	for _, key := range slices.Sorted(maps.Keys(counters)) {
		errs = append(errs, rule.Messages(at, key, content.IsDNS1123Label(key))...)
	}
	return errs
}

// isAdvanced tells whether a device has what makes slices costly for the scheduler.
func isAdvanced(d resourcev1.Device) bool { return len(d.Taints) > 0 || len(d.ConsumesCounters) > 0 }

func deviceOf(s *resourcev1.ResourceSliceSpec, name string) *resourcev1.Device {
	if s == nil {
		return nil
	}
	for i := range s.Devices {
		if s.Devices[i].Name == name {
			return &s.Devices[i]
		}
	}
	return nil
}

// placement collects which of the fields are set that say where devices can be used from.
type placement struct {
	set  []string
	errs field.ErrorList
}

func (p *placement) node(at *field.Path, name *string, whenEmpty string) {
	switch {
	case name == nil:
	case *name == "":
		p.errs = append(p.errs, field.Invalid(at, *name, whenEmpty))
	default:
		p.set = append(p.set, "`nodeName`")
		p.errs = append(p.errs, rule.DNSSubdomain(at, *name)...)
	}
}

func (p *placement) flag(at *field.Path, name string, value *bool) {
	switch {
	case value == nil:
	case *value:
		p.set = append(p.set, "`"+name+"`")
	default:
		p.errs = append(p.errs, field.Invalid(at.Child(name), false, "must be either unset or set to true"))
	}
}

// finish wants one of the fields.
func (p *placement) finish(at *field.Path, none, several string) field.ErrorList {
	switch {
	case len(p.set) == 0:
		return append(p.errs, field.Required(at, none))
	case len(p.set) > 1:
		return append(p.errs, field.Invalid(at, fmt.Sprintf("{%s}", strings.Join(p.set, ", ")), several))
	}
	return p.errs
}

func validateSliceNodes(at *field.Path, s *resourcev1.ResourceSliceSpec) field.ErrorList {
	const exactlyOne = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
	var p placement
	p.node(at.Child("nodeName"), s.NodeName, "must be either unset or set to a non-empty string")
	if s.NodeSelector != nil {
		at := at.Child("nodeSelector")
		p.set = append(p.set, "`nodeSelector`")
		p.errs = append(p.errs, core.ValidateNodeSelector(at, s.NodeSelector, false)...)
		if terms := s.NodeSelector.NodeSelectorTerms; len(terms) != 1 {
			p.errs = append(p.errs, field.Invalid(at.Child("nodeSelectorTerms"), terms,
				"must have exactly one node selector term"))
		}
	}
	p.flag(at, "allNodes", s.AllNodes)
	p.flag(at, "perDeviceNodeSelection", s.PerDeviceNodeSelection)
	return p.finish(at, exactlyOne, exactlyOne+", but multiple fields are set")
}

func validateDeviceNodes(at *field.Path, d *resourcev1.Device, perDevice bool) field.ErrorList {
	if !perDevice {
		if d.NodeName != nil || d.NodeSelector != nil || d.AllNodes != nil {
			return field.ErrorList{field.Invalid(at, nil, "`nodeName`, `nodeSelector` and `allNodes` can only be set if "+
				"`perDeviceNodeSelection` is set to true in the ResourceSlice spec")}
		}
		return nil
	}
	const exactlyOne = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is " +
		"set to true in the ResourceSlice spec"
	var p placement
	p.node(at.Child("nodeName"), d.NodeName, "must not be empty")
	if d.NodeSelector != nil {
		p.set = append(p.set, "`nodeSelector`")
		p.errs = append(p.errs, core.ValidateNodeSelector(at.Child("nodeSelector"), d.NodeSelector, false)...)
	}
	p.flag(at, "allNodes", d.AllNodes)
	return p.finish(at, exactlyOne, exactlyOne)
}

func validateDevice(at *field.Path, d, old *resourcev1.Device, perDevice bool) field.ErrorList {
	errs := rule.DNSLabel(at.Child("name"), d.Name)
	if n := len(d.Attributes) + len(d.Capacity); n > maxPropertiesEach {
		errs = append(errs, field.Invalid(at, n,
			fmt.Sprintf("the total number of attributes and capacities must not exceed %d", maxPropertiesEach)))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		errs = append(errs, validateAttributeName(at.Child("attributes"), string(name))...)
		errs = append(errs, validateAttribute(at.Child("attributes").Key(string(name)), d.Attributes[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Capacity)) {
		errs = append(errs, validateAttributeName(at.Child("capacity"), string(name))...)
		if d.Capacity[name].RequestPolicy != nil && !meta.Deref(d.AllowMultipleAllocations) {
			errs = append(errs, field.Forbidden(at.Child("capacity").Key(string(name)).Child("requestPolicy"),
				"allowMultipleAllocations must be true"))
		}
	}
	if old == nil || !equality.Semantic.DeepEqual(d.Taints, old.Taints) {
		errs = append(errs, validateTaints(at.Child("taints"), d.Taints)...)
	}
	errs = append(errs, validateConsumed(at.Child("consumesCounters"), d.ConsumesCounters)...)
	errs = append(errs, validateDeviceNodes(at, d, perDevice)...)
	return append(errs, validateBinding(at, d.BindingConditions, d.BindingFailureConditions)...)
}

func validateConsumed(at *field.Path, list []resourcev1.DeviceCounterConsumption) field.ErrorList {
	if len(list) > maxConsumedSets {
		return rule.MaxItems(at, len(list), maxConsumedSets)
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range list {
		errs = append(errs, validateCounters(at.Index(i), "counterSet", list[i].CounterSet, list[i].Counters)...)
		if seen.Has(list[i].CounterSet) {
			errs = append(errs, field.Duplicate(at.Index(i), list[i].CounterSet))
		}
		seen.Insert(list[i].CounterSet)
	}
	return errs
}

// validateBinding judges the conditions that pods wait for after they were given a device: how it goes well and how it fails, or
// neither.
func validateBinding(at *field.Path, good, bad []string) field.ErrorList {
	goodAt, badAt := at.Child("bindingConditions"), at.Child("bindingFailureConditions")
	errs := validateConditionNames(goodAt, good, resourcev1.BindingConditionsMaxSize)
	errs = append(errs, validateConditionNames(badAt, bad, resourcev1.BindingFailureConditionsMaxSize)...)
	for i, name := range bad {
		if slices.Contains(good, name) {
			errs = append(errs, field.Invalid(badAt.Index(i), name,
				"bindingFailureConditions must not overlap with bindingConditions"))
		}
	}
	switch {
	case len(good) == 0 && len(bad) > 0:
		errs = append(errs, field.Invalid(goodAt, good, "bindingConditions are required to use bindingFailureConditions"))
	case len(bad) == 0 && len(good) > 0:
		errs = append(errs, field.Invalid(badAt, bad, "bindingFailureConditions are required to use bindingConditions"))
	}
	return errs
}

func validateConditionNames(at *field.Path, names []string, limit int) field.ErrorList {
	if len(names) > limit {
		return rule.MaxItems(at, len(names), limit)
	}
	var errs field.ErrorList
	for i, name := range names {
		errs = append(errs, rule.LabelKey(at.Index(i), name)...)
	}
	return append(errs, rule.NoDuplicates(at, names)...)
}

func validateTaints(at *field.Path, list []resourcev1.DeviceTaint) field.ErrorList {
	if len(list) > maxTaintsEach {
		return rule.MaxItems(at, len(list), maxTaintsEach)
	}
	var errs field.ErrorList
	for i := range list {
		errs = append(errs, validateTaint(at.Index(i), &list[i], nil)...)
	}
	return errs
}

func validateTaint(at *field.Path, t, old *resourcev1.DeviceTaint) field.ErrorList {
	errs := rule.LabelKey(at.Child("key"), t.Key)
	if t.Value != "" {
		errs = append(errs, validateLabelValue(at.Child("value"), t.Value)...)
	}
	if old == nil || old.Effect != t.Effect {
		errs = append(errs, rule.GivenOneOf(at.Child("effect"), t.Effect, taintEffects()...)...)
	}
	return errs
}

// validateAttribute wants one value.
func validateAttribute(at *field.Path, a resourcev1.DeviceAttribute) field.ErrorList {
	var errs field.ErrorList
	if a.StringValue != nil {
		errs = append(errs, rule.MaxBytes(at.Child("string"), *a.StringValue, maxValueBytes)...)
	}
	if a.VersionValue != nil {
		errs = append(errs, validateVersion(at.Child("version"), *a.VersionValue)...)
	}
	for i, v := range a.StringValues {
		errs = append(errs, rule.MaxBytes(at.Child("strings").Index(i), v, maxValueBytes)...)
	}
	for i, v := range a.VersionValues {
		errs = append(errs, validateVersion(at.Child("versions").Index(i), v)...)
	}
	var set, all []string
	for _, v := range []struct {
		name string
		set  bool
	}{
		{"int", a.IntValue != nil},
		{"bool", a.BoolValue != nil},
		{"string", a.StringValue != nil},
		{"version", a.VersionValue != nil},
		{"ints", a.IntValues != nil},
		{"bools", a.BoolValues != nil},
		{"strings", a.StringValues != nil},
		{"versions", a.VersionValues != nil},
	} {
		all = append(all, "`"+v.name+"`")
		if v.set {
			set = append(set, v.name)
		}
	}
	switch choices := "one of: " + strings.Join(all, ", "); len(set) {
	case 0:
		errs = append(errs, field.Invalid(at, "", "must specify "+choices))
	case 1:
	default:
		errs = append(errs, field.Invalid(at, "{"+strings.Join(set, ", ")+"}", "must specify exactly "+choices))
	}
	return errs
}

func validateVersion(at *field.Path, text string) field.ErrorList {
	var errs field.ErrorList
	if !semanticVersion.MatchString(text) {
		errs = append(errs, field.Invalid(at, text, "must be a string compatible with semver.org spec 2.0.0"))
	}
	return append(errs, rule.MaxBytes(at, text, maxValueBytes)...)
}
