package rule

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Share judges a number of pods that may be given as a percentage.
func Share(at *field.Path, v intstr.IntOrString) field.ErrorList {
	switch v.Type {
	case intstr.String:
		return Messages(at, v, utilvalidation.IsValidPercent(v.StrVal))
	case intstr.Int:
		return NonNegative(at, v.IntVal)
	}
	return field.ErrorList{field.Invalid(at, v, "must be an integer or percentage (e.g '5%%')")}
}

// ShareAtMostAll refuses percentages above 100.
func ShareAtMostAll(at *field.Path, v intstr.IntOrString) field.ErrorList {
	if n, ok := percentage(v); ok && n > 100 {
		return field.ErrorList{field.Invalid(at, v, "must not be greater than 100%")}
	}
	return nil
}

// NoShare tells whether the value is zero or 0%.
func NoShare(v intstr.IntOrString) bool {
	if n, ok := percentage(v); ok {
		return n == 0
	}
	return v.IntValue() == 0
}

func percentage(v intstr.IntOrString) (int, bool) {
	if v.Type != intstr.String || len(utilvalidation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	return n, err == nil
}
