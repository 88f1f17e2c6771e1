package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func tokenReview() *api.Resource {
	return meta.Entry[*authenticationv1.TokenReview]{
		Group:   authenticationv1.GroupName,
		Version: "v1", Kind: "TokenReview", Plural: "tokenreviews",
		Verbs: []string{"create"},
		New:   meta.New[authenticationv1.TokenReview],
	}.Resource()
}
