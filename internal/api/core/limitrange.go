package core

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func limitRange() *api.Resource {
	return meta.Entry[*corev1.LimitRange]{
		Version: "v1", Kind: "LimitRange", Plural: "limitranges",
		Short:               []string{"limits"},
		Namespaced:          true,
		New:                 meta.New[corev1.LimitRange],
		NewList:             meta.Empty[corev1.LimitRangeList],
		Path:                "limitranges",
		Default:             defaultLimitRange,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Validate:            validateLimitRange,
		ValidateUpdate:      validateLimitRangeUpdate,
	}.Resource()
}

func defaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type == corev1.LimitTypeContainer {
			defaultContainerLimits(item)
		}
		roundUp(item.Max)
		roundUp(item.Min)
		roundUp(item.Default)
		roundUp(item.DefaultRequest)
		roundUp(item.MaxLimitRequestRatio)
	}
}

// defaultContainerLimits derives the default limit from the maximum, and the default request from the default limit, then from
// the minimum.
func defaultContainerLimits(item *corev1.LimitRangeItem) {
	limits, requests := corev1.ResourceList{}, corev1.ResourceList{}
	maps.Copy(limits, item.Max)
	maps.Copy(limits, item.Default)
	maps.Copy(requests, item.Min)
	maps.Copy(requests, limits)
	maps.Copy(requests, item.DefaultRequest)
	item.Default, item.DefaultRequest = limits.DeepCopy(), requests.DeepCopy()
}
