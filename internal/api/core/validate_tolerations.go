package core

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// ValidateTolerations judges tolerations of pods and runtime classes.
func ValidateTolerations(at *field.Path, list []corev1.Toleration) field.ErrorList {
	return validateTolerations(at, list, false)
}

// validateTolerations allows the numeric operators only where they are in use: they are an alpha feature, and off.
func validateTolerations(at *field.Path, list []corev1.Toleration, numeric bool) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		t, at := &list[i], at.Index(i)
		if t.Key != "" {
			errs = append(errs, rule.LabelKey(at.Child("key"), t.Key)...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect,
				"effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		errs = append(errs, validateTolerationValue(at, t, numeric)...)
		if t.Effect != "" {
			errs = append(errs, validateEffect(at.Child("effect"), t.Effect)...)
		}
	}
	return errs
}

func validateTolerationValue(at *field.Path, t *corev1.Toleration, numeric bool) field.ErrorList {
	operator, value := at.Child("operator"), at.Child("value")
	switch t.Operator {
	case corev1.TolerationOpEqual, "":
		if why := utilvalidation.IsValidLabelValue(t.Value); len(why) > 0 {
			return field.ErrorList{field.Invalid(operator, t.Value, strings.Join(why, ";"))}
		}
		return nil
	case corev1.TolerationOpExists:
		if t.Value != "" {
			return field.ErrorList{field.Invalid(operator, t.Value, "value must be empty when `operator` is 'Exists'")}
		}
		return nil
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		if !numeric {
			return field.ErrorList{field.NotSupported(operator, t.Operator, []corev1.TolerationOperator{
				corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt,
			})}
		}
		errs := rule.Messages(value, t.Value, content.IsDecimalInteger(t.Value))
		if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
			errs = append(errs, field.Invalid(value, t.Value, err.Error()))
		}
		return errs
	}
	return rule.OneOf(operator, t.Operator, corev1.TolerationOpEqual, corev1.TolerationOpExists)
}

func validateEffect(at *field.Path, e corev1.TaintEffect) field.ErrorList {
	return rule.OneOf(at, e, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}

func validateTaints(at *field.Path, taints []corev1.Taint) field.ErrorList {
	var errs field.ErrorList
	type identity struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := sets.New[identity]()
	for i, t := range taints {
		at := at.Index(i)
		errs = append(errs, rule.LabelKey(at.Child("key"), t.Key)...)
		if why := utilvalidation.IsValidLabelValue(t.Value); len(why) > 0 {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, strings.Join(why, ";")))
		}
		if t.Effect == "" {
			errs = append(errs, field.Required(at.Child("effect"), ""))
		} else {
			errs = append(errs, validateEffect(at.Child("effect"), t.Effect)...)
		}
		id := identity{t.Key, t.Effect}
		if seen.Has(id) {
			again := field.Duplicate(at, t)
			again.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, again)
		}
		seen.Insert(id)
	}
	return errs
}

// validateTolerationsAnnotation judges tolerations in the annotation that preceded the field.
func validateTolerationsAnnotation(at *field.Path, annotations map[string]string, rules podRules) field.ErrorList {
	const key = corev1.TolerationsAnnotationKey
	text := annotations[key]
	if text == "" {
		return nil
	}
	var list []corev1.Toleration
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return field.ErrorList{field.Invalid(at, key, err.Error())}
	}
	return validateTolerations(at.Child(key), list, rules.numericTolerations)
}

// validateAddedTolerations lets an update add tolerations and change how long one holds, and nothing else.
func validateAddedTolerations(at *field.Path, now, before []corev1.Toleration, rules podRules) field.ErrorList {
	same := func(a, b corev1.Toleration) bool {
		a.TolerationSeconds, b.TolerationSeconds = nil, nil
		return a == b
	}
	for _, old := range before {
		if !slices.ContainsFunc(now, func(t corev1.Toleration) bool { return same(t, old) }) {
			return field.ErrorList{field.Forbidden(at, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return validateTolerations(at, now, rules.numericTolerations)
}
