package reviews

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
)

// RuleResolver lists the rules that apply to a user in a namespace.
type RuleResolver interface {
	RulesFor(user *request.User, namespace string) ([]rbacv1.PolicyRule, error)
}

// Rules answers SelfSubjectRulesReviews.
type Rules struct {
	resolver RuleResolver
}

// NewRules returns the handler of SelfSubjectRulesReviews.
func NewRules(resolver RuleResolver) *Rules { return &Rules{resolver: resolver} }

// SelfSubject lists what the caller may do in a namespace. What the Node authorizer and the group system:masters allow is no
// list of rules; the answer to such callers says that it is incomplete.
func (r *Rules) SelfSubject(_ context.Context, user request.User, _, _ string, obj runtime.Object) (runtime.Object, error) {
	review, ok := obj.(*authorizationv1.SelfSubjectRulesReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectRulesReview: %T", obj))
	}
	if review.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	rules, err := r.resolver.RulesFor(&user, review.Spec.Namespace)
	answer := &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{},
	}}
	for _, rule := range rules {
		if len(rule.Resources) > 0 {
			answer.Status.ResourceRules = append(answer.Status.ResourceRules, authorizationv1.ResourceRule{
				Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
			})
		}
		if len(rule.NonResourceURLs) > 0 {
			answer.Status.NonResourceRules = append(answer.Status.NonResourceRules, authorizationv1.NonResourceRule{
				Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs,
			})
		}
	}
	if err != nil {
		answer.Status.EvaluationError = err.Error()
	}
	if _, isNode := authz.NodeName(&user); isNode {
		answer.Status.Incomplete = true
		answer.Status.EvaluationError = "node authorizer does not support user rule resolution"
	}
	return answer, nil
}
