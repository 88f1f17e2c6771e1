package reviews

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// Authentication answers reviews of who someone is.
type Authentication struct {
	tokens token.Authenticator
	now    func() time.Time
}

// NewAuthentication returns the handlers of TokenReviews and SelfSubjectReviews.
func NewAuthentication(tokens token.Authenticator, now func() time.Time) *Authentication {
	return &Authentication{tokens: tokens, now: now}
}

// Token answers a TokenReview: whose the token is, for which of the asked audiences (the API server's own when none is
// asked for). A bad token is an answer, not an error.
func (r *Authentication) Token(
	ctx context.Context, _ request.User, namespace, _ string, obj runtime.Object,
) (runtime.Object, error) {
	given, ok := obj.(*authenticationv1.TokenReview)
	switch {
	case !ok:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenReview: %T", obj))
	case namespace != "":
		return nil, apierrors.NewBadRequest("namespace is not allowed on this type: " + namespace)
	case given.Spec.Token == "":
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	review := given.DeepCopy()
	review.Status = authenticationv1.TokenReviewStatus{}
	id, known, err := r.tokens.AuthenticateToken(ctx, review.Spec.Token, review.Spec.Audiences)
	switch {
	case known:
		user := id.User
		if !user.InGroup(request.GroupAuthenticated) {
			user.Groups = append(append([]string(nil), user.Groups...), request.GroupAuthenticated)
		}
		review.Status.Authenticated = true
		review.Status.User = userInfo(user)
		review.Status.Audiences = id.Audiences
	case err != nil:
		review.Status.Error = "[invalid bearer token, " + err.Error() + "]"
	default:
		review.Status.Error = "invalid bearer token"
	}
	return review, nil
}

// SelfSubject answers a SelfSubjectReview: who the caller is.
func (r *Authentication) SelfSubject(
	_ context.Context, user request.User, _, _ string, obj runtime.Object,
) (runtime.Object, error) {
	if _, ok := obj.(*authenticationv1.SelfSubjectReview); !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectReview: %T", obj))
	}
	return &authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(r.now())},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(user)},
	}, nil
}

func userInfo(user request.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: user.Name, UID: user.UID, Groups: user.Groups}
	for key, values := range user.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[key] = values
	}
	return info
}
