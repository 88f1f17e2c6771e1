package bootstrap

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/authz"
)

//go:embed policy.txt
var policyText string

// Policy is a set of roles and bindings.
type Policy struct {
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	Roles               []*rbacv1.Role
	RoleBindings        []*rbacv1.RoleBinding
}

// DefaultPolicy returns the roles and bindings of every cluster. Aggregated roles come with the rules that the others give
// them. The objects are the caller's.
func DefaultPolicy() (*Policy, error) {
	p, err := parsePolicy(policyText)
	if err != nil {
		return nil, fmt.Errorf("parsing the built-in policy: %w", err)
	}
	resolved := make([][]rbacv1.PolicyRule, len(p.ClusterRoles))
	for i, role := range p.ClusterRoles {
		resolved[i] = authz.AggregateRules(role, p.ClusterRoles)
	}
	for i, role := range p.ClusterRoles {
		role.Rules = resolved[i]
	}
	return p, nil
}

// NodeRules returns what every node may do with kinds that are not tied to one node: the rules of the role system:node.
func NodeRules() ([]rbacv1.PolicyRule, error) {
	p, err := DefaultPolicy()
	if err != nil {
		return nil, err
	}
	for _, role := range p.ClusterRoles {
		if role.Name == "system:node" {
			return role.Rules, nil
		}
	}
	return nil, fmt.Errorf("the built-in policy has no role %q", "system:node")
}

const aggregatePrefix = "rbac.authorization.k8s.io/aggregate-to-"

// parser reads the text line by line; rules go to the role read last.
type parser struct {
	policy Policy
	rules  *[]rbacv1.PolicyRule
}

func parsePolicy(text string) (*Policy, error) {
	p := &parser{}
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var err error
		if strings.HasPrefix(line, " ") {
			err = p.rule(words)
		} else {
			err = p.object(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return &p.policy, nil
}

func defaultMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:   namespace,
		Name:        name,
		Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
}

func (p *parser) object(words []string) error {
	least := map[string]int{"clusterrole": 2, "role": 3, "bind": 3, "bind-in": 4}
	if len(words) < least[words[0]] {
		return fmt.Errorf("%s needs more words", words[0])
	}
	p.rules = nil
	switch words[0] {
	case "clusterrole":
		return p.clusterRole(words[1], words[2:])
	case "role":
		role := &rbacv1.Role{ObjectMeta: defaultMeta(words[1], words[2])}
		p.policy.Roles = append(p.policy.Roles, role)
		p.rules = &role.Rules
	case "bind":
		subjects, err := parseSubjects(words[3:])
		if err != nil {
			return err
		}
		p.policy.ClusterRoleBindings = append(p.policy.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{
			ObjectMeta: defaultMeta("", words[1]),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: words[2]},
			Subjects:   subjects,
		})
	case "bind-in":
		subjects, err := parseSubjects(words[4:])
		if err != nil {
			return err
		}
		p.policy.RoleBindings = append(p.policy.RoleBindings, &rbacv1.RoleBinding{
			ObjectMeta: defaultMeta(words[1], words[2]),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: words[3]},
			Subjects:   subjects,
		})
	default:
		return fmt.Errorf("unknown word %q", words[0])
	}
	return nil
}

func (p *parser) clusterRole(name string, options []string) error {
	role := &rbacv1.ClusterRole{ObjectMeta: defaultMeta("", name)}
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "in":
			for _, target := range strings.Split(value, ",") {
				role.Labels[aggregatePrefix+target] = "true"
			}
		case "of":
			role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
				{MatchLabels: map[string]string{aggregatePrefix + value: "true"}},
			}}
		default:
			return fmt.Errorf("unknown option %q", option)
		}
	}
	p.policy.ClusterRoles = append(p.policy.ClusterRoles, role)
	p.rules = &role.Rules
	return nil
}

func (p *parser) rule(words []string) error {
	if p.rules == nil {
		return fmt.Errorf("a rule outside of a role")
	}
	if len(words) == 1 && words[0] == "events" {
		words = []string{"create,update,patch", "core,events.k8s.io:", "events"}
	}
	if len(words) < 3 || !strings.HasSuffix(words[1], ":") {
		return errors.New("a rule is VERBS GROUPS: RESOURCE, and further resources")
	}
	rule := rbacv1.PolicyRule{Verbs: parseVerbs(words[0])}
	rest := words[2:]
	if words[1] == "url:" {
		rule.NonResourceURLs = rest
		*p.rules = append(*p.rules, rule)
		return nil
	}
	for _, group := range strings.Split(strings.TrimSuffix(words[1], ":"), ",") {
		if group == "core" {
			group = ""
		}
		rule.APIGroups = append(rule.APIGroups, group)
	}
	for _, word := range rest {
		if name, ok := strings.CutPrefix(word, "["); ok {
			rule.ResourceNames = append(rule.ResourceNames, strings.TrimSuffix(name, "]"))
			continue
		}
		rule.Resources = append(rule.Resources, word)
	}
	*p.rules = append(*p.rules, normalised(rule))
	return nil
}

// normalised sorts what has no order, so that the stored roles look like upstream's.
func normalised(r rbacv1.PolicyRule) rbacv1.PolicyRule {
	slices.Sort(r.APIGroups)
	slices.Sort(r.Resources)
	slices.Sort(r.ResourceNames)
	return r
}

func parseVerbs(text string) []string {
	read := []string{"get", "list", "watch"}
	write := []string{"create", "update", "patch", "delete", "deletecollection"}
	var verbs []string
	for _, word := range strings.Split(text, ",") {
		switch word {
		case "read":
			verbs = append(verbs, read...)
		case "write":
			verbs = append(verbs, write...)
		case "all":
			verbs = append(append(verbs, read...), write...)
		case "edit":
			verbs = append(append(verbs, read...), "update", "patch")
		default:
			verbs = append(verbs, word)
		}
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

func parseSubjects(words []string) ([]rbacv1.Subject, error) {
	var subjects []rbacv1.Subject
	for _, word := range words {
		kind, name, _ := strings.Cut(word, ":")
		switch kind {
		case "user":
			subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name})
		case "group":
			subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name})
		case "sa":
			namespace, account, _ := strings.Cut(name, "/")
			subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account})
		default:
			return nil, fmt.Errorf("unknown subject %q", word)
		}
	}
	return subjects, nil
}
