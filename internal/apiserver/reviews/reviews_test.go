package reviews

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// recorder allows what its user "jane" asks and remembers the question.
type recorder struct{ asked *request.Attributes }

func (r *recorder) Authorize(_ context.Context, a *request.Attributes) (authz.Decision, string, error) {
	r.asked = a
	switch a.User.Name {
	case "jane":
		return authz.Allow, "because", nil
	case "broken":
		return authz.NoOpinion, "", errors.New("cannot tell")
	}
	return authz.NoOpinion, "", nil
}

func TestSubjectAccessReview(t *testing.T) {
	r := &recorder{}
	a := NewAccess(r)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "jane", Groups: []string{"g"}, UID: "u", Extra: map[string]authorizationv1.ExtraValue{"k": {"v"}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "list", Group: "apps", Resource: "deployments", Subresource: "scale", Namespace: "n", Name: "d",
			FieldSelector: &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{
				{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpIn, Values: []string{"n1"}},
			}},
			LabelSelector: &authorizationv1.LabelSelectorAttributes{RawSelector: "a=b"},
		},
	}}
	out, err := a.Subject(context.Background(), request.User{}, "", "", review)
	if err != nil {
		t.Fatal(err)
	}
	if s := out.(*authorizationv1.SubjectAccessReview).Status; !s.Allowed || s.Denied || s.Reason != "because" {
		t.Errorf("status %+v", s)
	}
	if review.Status.Allowed {
		t.Error("the question was changed")
	}
	q := r.asked
	if q.Verb != "list" || q.Group != "apps" || q.Resource != "deployments" || q.Subresource != "scale" || q.Namespace != "n" ||
		q.Name != "d" || !q.IsResource || q.FieldSelector != "spec.nodeName=n1" || q.LabelSelector != "a=b" ||
		q.User.UID != "u" || !q.User.InGroup("g") || q.User.Extra["k"][0] != "v" {
		t.Errorf("asked %+v", q)
	}
}

func TestAccessReviewsRefused(t *testing.T) {
	a := NewAccess(&recorder{})
	res := &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Namespace: "n"}
	non := &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/x"}
	ctx := context.Background()
	subject := func(s authorizationv1.SubjectAccessReviewSpec) error {
		_, err := a.Subject(ctx, request.User{}, "", "", &authorizationv1.SubjectAccessReview{Spec: s})
		return err
	}
	local := func(namespace, meta string, s authorizationv1.SubjectAccessReviewSpec) error {
		review := &authorizationv1.LocalSubjectAccessReview{Spec: s}
		review.Namespace = meta
		_, err := a.LocalSubject(ctx, request.User{}, namespace, "", review)
		return err
	}
	cases := []struct {
		name string
		err  error
		want string
	}{
		{"neither", subject(authorizationv1.SubjectAccessReviewSpec{User: "a"}), "exactly one of nonResourceAttributes or resourceAttributes"},
		{"both", subject(authorizationv1.SubjectAccessReviewSpec{User: "a", ResourceAttributes: res, NonResourceAttributes: non}), "exactly one of"},
		{"nobody", subject(authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: res}), "at least one of user or group must be specified"},
		{"local of another namespace", local("m", "m", authorizationv1.SubjectAccessReviewSpec{User: "a", ResourceAttributes: res}), "must match metadata.namespace"},
		{"local of a path", local("n", "n", authorizationv1.SubjectAccessReviewSpec{User: "a", NonResourceAttributes: non}), "disallowed on this kind of request"},
		{"local at another URL", local("m", "n", authorizationv1.SubjectAccessReviewSpec{User: "a", ResourceAttributes: res}), "must match namespace"},
	}
	for _, c := range cases {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
	if err := local("n", "n", authorizationv1.SubjectAccessReviewSpec{User: "a", ResourceAttributes: res}); err != nil {
		t.Error(err)
	}
}

func TestSelfReviews(t *testing.T) {
	r := &recorder{}
	out, err := NewAccess(r).SelfSubject(context.Background(), request.User{Name: "broken"}, "", "",
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/x"},
		}})
	if err != nil {
		t.Fatal(err)
	}
	if s := out.(*authorizationv1.SelfSubjectAccessReview).Status; s.Allowed || s.EvaluationError != "cannot tell" {
		t.Errorf("status %+v", s)
	}
	if r.asked.Path != "/x" || r.asked.IsResource {
		t.Errorf("asked %+v", r.asked)
	}
	who, err := NewAuthentication(nil, time.Now).SelfSubject(context.Background(),
		request.User{Name: "jane", UID: "u", Extra: map[string][]string{"k": {"v"}}}, "", "", &authenticationv1.SelfSubjectReview{})
	if err != nil {
		t.Fatal(err)
	}
	if info := who.(*authenticationv1.SelfSubjectReview).Status.UserInfo; info.Username != "jane" || info.Extra["k"][0] != "v" {
		t.Errorf("info %+v", info)
	}
}

type rules struct{}

func (rules) RulesFor(*request.User, string) ([]rbacv1.PolicyRule, error) {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: []string{"p"}},
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}},
	}, errors.New("one role is missing")
}

func TestRulesReview(t *testing.T) {
	ask := func(user request.User, namespace string) (runtime.Object, error) {
		return NewRules(rules{}).SelfSubject(context.Background(), user, "", "", &authorizationv1.SelfSubjectRulesReview{
			Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
		})
	}
	out, err := ask(request.User{Name: "jane"}, "n")
	if err != nil {
		t.Fatal(err)
	}
	s := out.(*authorizationv1.SelfSubjectRulesReview).Status
	if len(s.ResourceRules) != 1 || len(s.NonResourceRules) != 1 || s.EvaluationError != "one role is missing" || s.Incomplete {
		t.Errorf("status %+v", s)
	}
	if _, err := ask(request.User{}, ""); !apierrors.IsBadRequest(err) {
		t.Error(err)
	}
	out, _ = ask(request.User{Name: "system:node:n", Groups: []string{"system:nodes"}}, "n")
	if !out.(*authorizationv1.SelfSubjectRulesReview).Status.Incomplete {
		t.Error("a node's rules are said to be complete")
	}
}

type tokens struct{}

func (tokens) AuthenticateToken(_ context.Context, raw string, audiences []string) (token.Identity, bool, error) {
	switch raw {
	case "good":
		return token.Identity{User: request.User{Name: "jane"}, Audiences: audiences}, true, nil
	case "old":
		return token.Identity{}, false, errors.New("has expired")
	}
	return token.Identity{}, false, nil
}

func TestTokenReview(t *testing.T) {
	ask := func(raw string) (authenticationv1.TokenReviewStatus, error) {
		out, err := NewAuthentication(tokens{}, time.Now).Token(context.Background(), request.User{}, "", "",
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: raw, Audiences: []string{"a"}}})
		if err != nil {
			return authenticationv1.TokenReviewStatus{}, err
		}
		return out.(*authenticationv1.TokenReview).Status, nil
	}
	if s, err := ask("good"); err != nil || !s.Authenticated || s.User.Username != "jane" || s.Audiences[0] != "a" ||
		s.User.Groups[0] != request.GroupAuthenticated {
		t.Errorf("good: %+v %v", s, err)
	}
	if s, err := ask("old"); err != nil || s.Authenticated || !strings.Contains(s.Error, "has expired") || s.User.Username != "" {
		t.Errorf("old: %+v %v", s, err)
	}
	if s, err := ask("nonsense"); err != nil || s.Authenticated || s.Error != "invalid bearer token" {
		t.Errorf("nonsense: %+v %v", s, err)
	}
	if _, err := ask(""); !apierrors.IsBadRequest(err) {
		t.Error(err)
	}
}
