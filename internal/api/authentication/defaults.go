package authentication

import authenticationv1 "k8s.io/api/authentication/v1"

// tokenSeconds is how long a requested token lives when the request does not say.
const tokenSeconds = 3600

// DefaultTokenRequest fills in the body of the serviceaccounts/token subresource.
func DefaultTokenRequest(r *authenticationv1.TokenRequest) {
	if r.Spec.ExpirationSeconds == nil {
		r.Spec.ExpirationSeconds = new(int64(tokenSeconds))
	}
}
