package core

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// claimRules waives rules that a claim breaks already.
type claimRules struct {
	laxSelector bool
	laxGroups   bool // API groups of data sources
}

func claimRulesFor(old *corev1.PersistentVolumeClaim) claimRules {
	s := &old.Spec
	return claimRules{
		laxSelector: len(rule.Selector(nil, s.Selector, false)) > 0,
		laxGroups: s.DataSource != nil && s.DataSource.APIGroup != nil ||
			s.DataSourceRef != nil && s.DataSourceRef.APIGroup != nil,
	}
}

func validateClaim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	return validateClaimSpec(specAt(), &c.Spec, claimRules{})
}

// ValidateClaimTemplate judges the spec of a claim that a workload makes copies of.
func ValidateClaimTemplate(at *field.Path, s *corev1.PersistentVolumeClaimSpec) field.ErrorList {
	return validateClaimSpec(at, s, claimRules{})
}

func validateClaimSpec(at *field.Path, s *corev1.PersistentVolumeClaimSpec, rules claimRules) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), "at least 1 access mode is required"))
	}
	errs = slices.Concat(errs,
		rule.Selector(at.Child("selector"), s.Selector, rules.laxSelector),
		validateAccessModes(at.Child("accessModes"), s.AccessModes))
	size := at.Child("resources").Key(string(corev1.ResourceStorage))
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; ok {
		errs = append(errs, rule.PositiveQuantity(size, q)...)
	} else {
		errs = append(errs, field.Required(size, ""))
	}
	return slices.Concat(errs,
		validateClassName(at.Child("storageClassName"), meta.Deref(s.StorageClassName)),
		rule.MaybeOneOf(at.Child("volumeMode"), s.VolumeMode,
			corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem),
		validateDataSources(at, s, rules),
		validateClassName(at.Child("volumeAttributesClassName"), meta.Deref(s.VolumeAttributesClassName)))
}

// validateClassName judges the name of a class; none is right.
func validateClassName(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return nil
	}
	return rule.Name(at, name, meta.DNSSubdomain)
}

func validateAccessModes(at *field.Path, modes []corev1.PersistentVolumeAccessMode) field.ErrorList {
	var errs field.ErrorList
	single, other := false, false
	for _, m := range modes {
		bad := rule.OneOf(at, m,
			corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		single = single || m == corev1.ReadWriteOncePod
		other = other || len(bad) == 0 && m != corev1.ReadWriteOncePod
		errs = append(errs, bad...)
	}
	if single && other {
		errs = append(errs, field.Forbidden(at, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func validateDataSources(at *field.Path, s *corev1.PersistentVolumeClaimSpec, rules claimRules) field.ErrorList {
	var errs field.ErrorList
	source, ref := s.DataSource, s.DataSourceRef
	if source != nil {
		errs = append(errs, validateDataSource(at.Child("dataSource"), source.APIGroup, source.Kind, source.Name, rules)...)
	}
	if ref == nil {
		return errs
	}
	errs = append(errs, validateDataSource(at.Child("dataSourceRef"), ref.APIGroup, ref.Kind, ref.Name, rules)...)
	namespace := meta.Deref(ref.Namespace)
	if namespace != "" {
		errs = append(errs, rule.Name(at.Child("dataSourceRef", "namespace"), namespace, meta.DNSLabel)...)
	}
	switch {
	case source == nil:
	case namespace != "":
		errs = append(errs, field.Invalid(at, at.Child("dataSource"),
			"may not be specified when dataSourceRef.namespace is specified"))
	case !samePointer(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name:
		errs = append(errs, field.Invalid(at, at.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func samePointer[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func validateDataSource(at *field.Path, group *string, kind, name string, rules claimRules) field.ErrorList {
	errs := slices.Concat(rule.Given(at.Child("name"), name), rule.Given(at.Child("kind"), kind))
	g := meta.Deref(group)
	if g == "" && kind != "PersistentVolumeClaim" {
		errs = append(errs, field.Invalid(at, kind,
			"must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
	}
	if g != "" && !rules.laxGroups {
		errs = append(errs, rule.DNSSubdomain(at.Child("apiGroup"), g)...)
	}
	return errs
}

// validateClaimUpdate judges a write to a claim. A bound claim may ask for more and for other attributes; all else stays, since
// quotas were charged and a volume chosen by it.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	at := specAt()
	errs := slices.Concat(
		validateClaimSpec(at, &c.Spec, claimRulesFor(old)),
		validateClassAnnotation(c, old))
	is, was := comparableClaims(c, old)
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("spec is immutable after creation except resources.requests "+
			"and volumeAttributesClassName for bound claims\n%v", diff.Diff(was, is))))
	}
	now, before := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	// After an expansion that failed the request may go down again, as far as the volume is larger than it was.
	if has := old.Status.Capacity[corev1.ResourceStorage]; now.Cmp(before) < 0 && now.Cmp(has) <= 0 {
		errs = append(errs, field.Forbidden(at.Child("resources", "requests", "storage"),
			"field can not be less than status.capacity"))
	}
	errs = append(errs, validateImmutable(field.NewPath("volumeMode"), c.Spec.VolumeMode, old.Spec.VolumeMode)...)
	if old.Status.CurrentVolumeAttributesClassName == nil ||
		samePointer(c.Spec.VolumeAttributesClassName, old.Spec.VolumeAttributesClassName) {
		return errs
	}
	const when = "is forbidden when status.currentVolumeAttributesClassName is not nil"
	switch class := c.Spec.VolumeAttributesClassName; {
	case class == nil:
		errs = append(errs, field.Forbidden(at.Child("volumeAttributesClassName"), "update to nil "+when))
	case *class == "":
		errs = append(errs, field.Forbidden(at.Child("volumeAttributesClassName"), "update to empty string "+when))
	}
	return errs
}

// movesClass tells whether the update only moves the class from the annotation that preceded the field into the field.
func movesClass(c, old *corev1.PersistentVolumeClaim) bool {
	before, ok := old.Annotations[corev1.BetaStorageClassAnnotation]
	now, kept := c.Annotations[corev1.BetaStorageClassAnnotation]
	name := c.Spec.StorageClassName
	return ok && old.Spec.StorageClassName == nil && name != nil && *name == before && (!kept || now == before)
}

func validateClassAnnotation(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	const key = corev1.BetaStorageClassAnnotation
	if movesClass(c, old) || c.Annotations[key] == old.Annotations[key] {
		return nil
	}
	return field.ErrorList{field.Invalid(metadataAt().Child("annotations", key), c.Annotations[key], rule.Immutable)}
}

// comparableClaims returns both specs with the parts made equal that may differ.
func comparableClaims(c, old *corev1.PersistentVolumeClaim) (is, was *corev1.PersistentVolumeClaimSpec) {
	is, was = c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = is.VolumeName
	}
	annotated, ok := old.Annotations[corev1.BetaStorageClassAnnotation]
	switch {
	case movesClass(c, old):
		is.StorageClassName = nil
	case is.StorageClassName != nil && was.StorageClassName == nil && (!ok || *is.StorageClassName == annotated):
		is.StorageClassName = nil
	}
	if c.Status.Phase == corev1.ClaimBound {
		if is.Resources.Requests != nil {
			is.Resources.Requests[corev1.ResourceStorage] = was.Resources.Requests[corev1.ResourceStorage]
		}
		is.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	return is, was
}

// validateClaimStatus judges a write to the status of a claim.
func validateClaimStatus(c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	at, s := statusAt(), &c.Status
	var errs field.ErrorList
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(field.NewPath("Spec", "accessModes"), ""))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Capacity)) {
		q := s.Capacity[name]
		errs = append(errs, validateNotBelowZero(at.Child("capacity").Key(string(name)), q.Value())...)
	}
	if s.HealthStatus != nil {
		health := at.Child("healthStatus", "healthConditions")
		errs = append(errs, validateHealthConditions(health, s.HealthStatus.HealthConditions)...)
	}
	statuses := at.Child("allocatedResourceStatuses")
	for _, name := range slices.Sorted(maps.Keys(s.AllocatedResourceStatuses)) {
		errs = append(errs, validateClaimResource(statuses, name)...)
		switch s.AllocatedResourceStatuses[name] {
		case corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
			corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimNodeResizeInProgress,
			corev1.PersistentVolumeClaimNodeResizeInfeasible:
		default:
			errs = append(errs, field.NotSupported(statuses, name, []corev1.ClaimResourceStatus{
				corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
				corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible,
				corev1.PersistentVolumeClaimNodeResizePending,
			}))
		}
	}
	allocated := at.Child("allocatedResources")
	for _, name := range slices.Sorted(maps.Keys(s.AllocatedResources)) {
		if bad := validateClaimResource(allocated, name); len(bad) > 0 {
			errs = append(errs, bad...)
			continue
		}
		q := s.AllocatedResources[name]
		errs = append(errs, validateNotBelowZero(allocated.Key(string(name)), q.Value())...)
	}
	return errs
}

func validateNotBelowZero(at *field.Path, n int64) field.ErrorList {
	if n >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, n, "must be a valid resource quantity")}
}

func validateClaimResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	if bad := rule.Messages(at, string(name), utilvalidation.IsQualifiedName(string(name))); len(bad) > 0 {
		return bad
	}
	if isNativeResource(name) && name != corev1.ResourceStorage {
		return field.ErrorList{field.NotSupported(at, string(name), []corev1.ResourceName{corev1.ResourceStorage})}
	}
	return nil
}

// warnClaim returns the warnings for a claim.
func warnClaim(c, _ *corev1.PersistentVolumeClaim) []string {
	var out []string
	if _, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		out = append(out, fmt.Sprintf(`%s: deprecated since v1.8; use "storageClassName" attribute instead`,
			metadataAt().Child("annotations").Key(corev1.BetaStorageClassAnnotation)))
	}
	return append(out, WarnClaimSpec(specAt(), &c.Spec)...)
}

// WarnClaimSpec returns the warnings for a claim's spec, or a template of one.
func WarnClaimSpec(at *field.Path, s *corev1.PersistentVolumeClaimSpec) []string {
	at = at.Child("resources")
	return append(
		warnFraction(at.Child("requests"), s.Resources.Requests, corev1.ResourceStorage),
		warnFraction(at.Child("limits"), s.Resources.Limits, corev1.ResourceStorage)...)
}

// warnFraction warns of an amount of bytes that is not whole.
func warnFraction(at *field.Path, list corev1.ResourceList, name corev1.ResourceName) []string {
	q, ok := list[name]
	if !ok || q.MilliValue()%1000 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer", at.Key(string(name)), q.String())}
}
