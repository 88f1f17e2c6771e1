package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"coracle.dev/coracle/internal/apiserver/request"
)

// ConfirmNoEscalation returns an error that lists what is missing, unless the user holds every permission of the rules in the
// namespace ("": in the whole cluster).
func (r *RBAC) ConfirmNoEscalation(user *request.User, namespace string, rules []rbacv1.PolicyRule) error {
	held, failed := r.RulesFor(user, namespace)
	covered, missing := validation.Covers(held, rules)
	if covered {
		return nil
	}
	var lines []string
	for _, rule := range compactRules(missing) {
		if line := describeRule(&rule); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	text := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		user.Name, user.Groups, strings.Join(lines, "\n"))
	if failed != nil {
		text += fmt.Sprintf("; resolution errors: %v", failed)
	}
	return errors.New(text)
}

// FullAuthority is every permission there is.
func FullAuthority() []rbacv1.PolicyRule {
	all := []string{"*"}
	return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}
}
