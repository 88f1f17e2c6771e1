package bootstrap

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/auth/rbac/validation"

	"coracle.dev/coracle/internal/api"
)

// merge returns what an existing object must become, or false when it may stay. What people added stays; what a default role
// or binding lacks is added, unless its annotation forbids that; what only the server knows (endpoints, authorities) is
// brought up to date. Other kinds are never touched once they exist.
func merge(existing, wanted api.Object) (api.Object, bool) {
	switch want := wanted.(type) {
	case *rbacv1.ClusterRole:
		return mergeClusterRole(existing.(*rbacv1.ClusterRole), want)
	case *rbacv1.Role:
		have := existing.(*rbacv1.Role)
		merged := have.DeepCopy()
		changed := addMeta(merged, want)
		merged.Rules, changed = addRules(merged.Rules, want.Rules, changed)
		return merged, changed && mayUpdate(have)
	case *rbacv1.ClusterRoleBinding:
		have := existing.(*rbacv1.ClusterRoleBinding)
		merged := have.DeepCopy()
		changed := addMeta(merged, want)
		merged.Subjects, changed = addSubjects(merged.Subjects, want.Subjects, changed)
		return merged, changed && mayUpdate(have) && have.RoleRef == want.RoleRef
	case *rbacv1.RoleBinding:
		have := existing.(*rbacv1.RoleBinding)
		merged := have.DeepCopy()
		changed := addMeta(merged, want)
		merged.Subjects, changed = addSubjects(merged.Subjects, want.Subjects, changed)
		return merged, changed && mayUpdate(have) && have.RoleRef == want.RoleRef
	case *corev1.ConfigMap:
		return mergeConfigMap(existing.(*corev1.ConfigMap), want)
	case *discoveryv1.EndpointSlice:
		have := existing.(*discoveryv1.EndpointSlice)
		merged := have.DeepCopy()
		merged.Endpoints, merged.Ports = want.Endpoints, want.Ports
		changed := addMeta(merged, want)
		return merged, changed || !equality.Semantic.DeepEqual(have, merged)
	case *corev1.Endpoints: //nolint:staticcheck // still served
		have := existing.(*corev1.Endpoints) //nolint:staticcheck // still served
		merged := have.DeepCopy()
		merged.Subsets = want.Subsets
		changed := addMeta(merged, want)
		return merged, changed || !equality.Semantic.DeepEqual(have, merged)
	}
	return nil, false
}

func mayUpdate(obj api.Object) bool {
	return obj.GetAnnotations()[rbacv1.AutoUpdateAnnotationKey] != "false"
}

func mergeClusterRole(have, want *rbacv1.ClusterRole) (api.Object, bool) {
	merged := have.DeepCopy()
	changed := addMeta(merged, want)
	if want.AggregationRule == nil {
		merged.Rules, changed = addRules(merged.Rules, want.Rules, changed)
		return merged, changed && mayUpdate(have)
	}
	if merged.AggregationRule == nil {
		merged.AggregationRule = &rbacv1.AggregationRule{}
	}
	for _, selector := range want.AggregationRule.ClusterRoleSelectors {
		has := slices.ContainsFunc(merged.AggregationRule.ClusterRoleSelectors, func(s metaSelector) bool {
			return equality.Semantic.DeepEqual(s, selector)
		})
		if !has {
			merged.AggregationRule.ClusterRoleSelectors = append(merged.AggregationRule.ClusterRoleSelectors, selector)
			changed = true
		}
	}
	return merged, changed && mayUpdate(have)
}

func addRules(have, want []rbacv1.PolicyRule, changed bool) ([]rbacv1.PolicyRule, bool) {
	covered, missing := validation.Covers(have, want)
	if covered {
		return have, changed
	}
	return append(have, missing...), true
}

func addSubjects(have, want []rbacv1.Subject, changed bool) ([]rbacv1.Subject, bool) {
	for _, s := range want {
		if !slices.Contains(have, s) {
			have, changed = append(have, s), true
		}
	}
	return have, changed
}

// addMeta adds missing labels and annotations.
func addMeta(to, from api.Object) bool {
	labels, more := addKeys(to.GetLabels(), from.GetLabels())
	annotations, further := addKeys(to.GetAnnotations(), from.GetAnnotations())
	to.SetLabels(labels)
	to.SetAnnotations(annotations)
	return more || further
}

func addKeys(have, want map[string]string) (map[string]string, bool) {
	changed := false
	for key, value := range want {
		if _, ok := have[key]; ok {
			continue
		}
		if have == nil {
			have = map[string]string{}
		}
		have[key], changed = value, true
	}
	return have, changed
}

// mergeConfigMap sets the wanted keys. Bundles of authorities grow: other servers, or the time before a rotation, may have
// put theirs there.
func mergeConfigMap(have, want *corev1.ConfigMap) (api.Object, bool) {
	merged := have.DeepCopy()
	changed := false
	for key, value := range want.Data {
		if strings.HasSuffix(key, "-ca-file") {
			value = joinBundles(have.Data[key], value)
		}
		if have.Data[key] == value {
			continue
		}
		if merged.Data == nil {
			merged.Data = map[string]string{}
		}
		merged.Data[key], changed = value, true
	}
	return merged, changed
}

func joinBundles(have, add string) string {
	const end = "-----END CERTIFICATE-----"
	joined := strings.TrimSpace(have)
	for _, part := range strings.SplitAfter(add, end) {
		part = strings.TrimSpace(part)
		if part == "" || strings.Contains(joined, part) {
			continue
		}
		joined = strings.TrimSpace(joined + "\n" + part)
	}
	return joined + "\n"
}
