package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	at := specAt().Child("limits")
	var errs field.ErrorList
	seen := sets.New[corev1.LimitType]()
	for i := range l.Spec.Limits {
		item, at := &l.Spec.Limits[i], at.Index(i)
		errs = append(errs, validateLimitType(at.Child("type"), item.Type)...)
		if seen.Has(item.Type) {
			errs = append(errs, field.Duplicate(at.Child("type"), item.Type))
		}
		seen.Insert(item.Type)
		errs = append(errs, validateLimits(at, item)...)
	}
	return errs
}

func validateLimitRangeUpdate(l, _ *corev1.LimitRange) field.ErrorList { return validateLimitRange(l) }

func validateLimitType(at *field.Path, t corev1.LimitType) field.ErrorList {
	if bad := rule.Messages(at, t, utilvalidation.IsQualifiedName(string(t))); len(bad) > 0 {
		return bad
	}
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return nil
	}
	if strings.Contains(string(t), "/") {
		return nil
	}
	return field.ErrorList{field.Invalid(at, t, "must be a standard limit type or fully qualified")}
}

func validateLimits(at *field.Path, l *corev1.LimitRangeItem) field.ErrorList {
	judge := validateResource
	if l.Type == corev1.LimitTypePod || l.Type == corev1.LimitTypeContainer {
		judge = containerResource
	}
	var errs field.ErrorList
	names := sets.New[corev1.ResourceName]()
	for _, list := range []struct {
		name    string
		amounts corev1.ResourceList
		// perContainer lists make no sense for a pod as a whole.
		perContainer bool
	}{
		{"max", l.Max, false},
		{"min", l.Min, false},
		{"default", l.Default, true},
		{"defaultRequest", l.DefaultRequest, true},
		{"maxLimitRequestRatio", l.MaxLimitRequestRatio, false},
	} {
		if list.perContainer && l.Type == corev1.LimitTypePod {
			if len(list.amounts) > 0 {
				errs = append(errs, field.Forbidden(at.Child(list.name), "may not be specified when `type` is 'Pod'"))
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(list.amounts)) {
			errs = append(errs, judge(at.Child(list.name).Key(string(name)), name)...)
			names.Insert(name)
		}
	}
	if l.Type == corev1.LimitTypePersistentVolumeClaim {
		_, low := l.Min[corev1.ResourceStorage]
		_, high := l.Max[corev1.ResourceStorage]
		if !low && !high {
			errs = append(errs, field.Required(at.Child("limits"),
				"either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	for _, name := range sets.List(names) {
		errs = slices.Concat(errs, validateBounds(at, l, name), validateRatio(at, l, name))
	}
	return errs
}

// validateBounds orders the amounts of one resource: min, default request, default, max.
func validateBounds(at *field.Path, l *corev1.LimitRangeItem, name corev1.ResourceName) field.ErrorList {
	amounts := func(list corev1.ResourceList) *resource.Quantity {
		q, ok := list[name]
		if !ok {
			return nil
		}
		return &q
	}
	low, high := amounts(l.Min), amounts(l.Max)
	var def, request *resource.Quantity
	if l.Type != corev1.LimitTypePod {
		def, request = amounts(l.Default), amounts(l.DefaultRequest)
	}
	var errs field.ErrorList
	ordered := func(list string, value, a, b *resource.Quantity, text string) {
		if a != nil && b != nil && a.Cmp(*b) > 0 {
			errs = append(errs, field.Invalid(at.Child(list).Key(string(name)), *value,
				fmt.Sprintf(text, a.String(), b.String())))
		}
	}
	ordered("min", low, low, high, "min value %s is greater than max value %s")
	ordered("defaultRequest", request, low, request, "min value %s is greater than default request value %s")
	ordered("defaultRequest", request, request, high, "default request value %s is greater than max value %s")
	ordered("defaultRequest", request, request, def, "default request value %s is greater than default limit value %s")
	ordered("default", low, low, def, "min value %s is greater than default value %s")
	ordered("default", high, def, high, "default value %s is greater than max value %s")
	if !canOvercommit(name) && def != nil && request != nil && def.Cmp(*request) != 0 {
		errs = append(errs, field.Invalid(at.Child("defaultRequest").Key(string(name)), *request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", def.String(), request.String(), name)))
	}
	return errs
}

// validateRatio holds the largest ratio of limit to request within what min and max allow.
func validateRatio(at *field.Path, l *corev1.LimitRangeItem, name corev1.ResourceName) field.ErrorList {
	ratio, ok := l.MaxLimitRequestRatio[name]
	if !ok {
		return nil
	}
	at = at.Child("maxLimitRequestRatio").Key(string(name))
	var errs field.ErrorList
	if ratio.CmpInt64(1) < 0 {
		errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	low, hasLow := l.Min[name]
	high, hasHigh := l.Max[name]
	if !hasLow || !hasHigh {
		return errs
	}
	if limit := high.AsApproximateFloat64() / low.AsApproximateFloat64(); ratio.AsApproximateFloat64() > limit {
		errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), limit)))
	}
	return errs
}
