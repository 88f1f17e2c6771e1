package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateQuota(q *corev1.ResourceQuota) field.ErrorList {
	return append(validateQuotaSpec(specAt(), &q.Spec), validateQuotaAmounts(&q.Status)...)
}

func validateQuotaSpec(at *field.Path, s *corev1.ResourceQuotaSpec) field.ErrorList {
	return slices.Concat(
		validateAmounts(s.Hard, at.Child("hard").Key, quotaResource),
		validateScopes(at.Child("scopes"), s),
		validateScopeSelector(at.Child("scopeSelector", "matchExpressions"), s))
}

func validateQuotaAmounts(s *corev1.ResourceQuotaStatus) field.ErrorList {
	return append(
		validateAmounts(s.Hard, statusAt().Child("hard").Key, quotaResource),
		validateAmounts(s.Used, statusAt().Child("used").Key, quotaResource)...)
}

func validateQuotaUpdate(q, old *corev1.ResourceQuota) field.ErrorList {
	errs := validateQuotaSpec(specAt(), &q.Spec)
	if !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
		errs = append(errs, field.Invalid(specAt().Child("scopes"), q.Spec.Scopes, rule.Immutable))
	}
	return errs
}

func validateQuotaStatus(q, _ *corev1.ResourceQuota) field.ErrorList {
	return validateQuotaAmounts(&q.Status)
}

func isScope(s corev1.ResourceQuotaScope) bool {
	switch s {
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
		corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopePriorityClass,
		corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return true
	}
	return false
}

// scopeHolds tells whether objects in the scope use the resource at all.
func scopeHolds(s corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	compute := []corev1.ResourceName{
		corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
	}
	switch s {
	case corev1.ResourceQuotaScopeBestEffort:
		return name == corev1.ResourcePods
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	default:
		return !isScope(s) || name == corev1.ResourcePods || slices.Contains(compute, name)
	}
}

// unheldResources are the limited resources that objects in the scope do not use.
func unheldResources(q *corev1.ResourceQuotaSpec, s corev1.ResourceQuotaScope) int {
	n := 0
	for name := range q.Hard {
		if isQuotaResource(name) && !scopeHolds(s, name) {
			n++
		}
	}
	return n
}

func conflictingScopes(s sets.Set[corev1.ResourceQuotaScope]) bool {
	return s.HasAll(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort) ||
		s.HasAll(corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating)
}

func validateScopes(at *field.Path, q *corev1.ResourceQuotaSpec) field.ErrorList {
	var errs field.ErrorList
	for _, s := range q.Scopes {
		if !isScope(s) {
			errs = append(errs, field.Invalid(at, q.Scopes, "unsupported scope"))
		}
		if unheldResources(q, s) > 0 {
			errs = append(errs, field.Invalid(at, q.Scopes, "unsupported scope applied to resource"))
		}
	}
	if conflictingScopes(sets.New(q.Scopes...)) {
		errs = append(errs, field.Invalid(at, q.Scopes, "conflicting scopes"))
	}
	return errs
}

func validateScopeSelector(at *field.Path, q *corev1.ResourceQuotaSpec) field.ErrorList {
	if q.ScopeSelector == nil {
		return nil
	}
	var errs field.ErrorList
	scopes := sets.New[corev1.ResourceQuotaScope]()
	for _, r := range q.ScopeSelector.MatchExpressions {
		scopes.Insert(r.ScopeName)
		if !isScope(r.ScopeName) {
			errs = append(errs, field.Invalid(at.Child("scopeName"), r.ScopeName, "unsupported scope"))
		}
		if unheldResources(q, r.ScopeName) > 0 {
			errs = append(errs, field.Invalid(at, q.ScopeSelector, "unsupported scope applied to resource"))
		}
		errs = append(errs, validateScopeOperator(at, &r)...)
	}
	if conflictingScopes(scopes) {
		errs = append(errs, field.Invalid(at, q.Scopes, "conflicting scopes"))
	}
	return errs
}

func validateScopeOperator(at *field.Path, r *corev1.ScopedResourceSelectorRequirement) field.ErrorList {
	var errs field.ErrorList
	switch r.ScopeName {
	case corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeTerminating,
		corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		if r.Operator != corev1.ScopeSelectorOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "must be 'Exists' when scope is any of "+
				"ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "+
				"ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
		}
	default: // any operator
	}
	switch r.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(at.Child("values"),
				"must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Invalid(at.Child("values"), r.Values,
				"must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	return errs
}

// warnQuota warns of requests that are limited above the limits.
func warnQuota(q, old *corev1.ResourceQuota) []string {
	if old != nil {
		return nil
	}
	var out []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		requestName, limitName := "requests."+name, "limits."+name
		request, ok := q.Spec.Hard[requestName]
		if !ok && name != corev1.ResourceEphemeralStorage {
			requestName = name
			request, ok = q.Spec.Hard[name]
		}
		if limit, limited := q.Spec.Hard[limitName]; ok && limited && request.Cmp(limit) > 0 {
			out = append(out, fmt.Sprintf("ResourceQuota %s (%s) should be less than %s (%s)",
				requestName, request.String(), limitName, limit.String()))
		}
	}
	return out
}
