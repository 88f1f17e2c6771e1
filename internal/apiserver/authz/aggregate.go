package authz

import (
	"cmp"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// AggregateRules returns the rules of an aggregated role: those of all roles its selectors choose, selector by selector and in
// the order of names, each rule once. Chosen roles that are aggregated themselves are resolved too. A role without an
// aggregation rule has the rules it states.
func AggregateRules(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) []rbacv1.PolicyRule {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	return aggregate(role, sorted, map[string]bool{})
}

// aggregate leaves out the roles that are being resolved already: roles may choose each other.
func aggregate(role *rbacv1.ClusterRole, sorted []*rbacv1.ClusterRole, resolving map[string]bool) []rbacv1.PolicyRule {
	if !isAggregated(role) {
		return role.Rules
	}
	resolving[role.Name] = true
	defer delete(resolving, role.Name)
	var rules []rbacv1.PolicyRule
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			continue // validation refuses such a selector; one that got in chooses nothing
		}
		for _, chosen := range sorted {
			if resolving[chosen.Name] || !selector.Matches(labels.Set(chosen.Labels)) {
				continue
			}
			for _, rule := range aggregate(chosen, sorted, resolving) {
				if !containsRule(rules, &rule) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules
}

func isAggregated(role *rbacv1.ClusterRole) bool {
	return role.AggregationRule != nil && len(role.AggregationRule.ClusterRoleSelectors) > 0
}

func containsRule(rules []rbacv1.PolicyRule, rule *rbacv1.PolicyRule) bool {
	for i := range rules {
		if equality.Semantic.DeepEqual(&rules[i], rule) {
			return true
		}
	}
	return false
}
