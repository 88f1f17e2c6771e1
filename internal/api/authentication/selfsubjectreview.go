package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func selfSubjectReview() *api.Resource {
	return meta.Entry[*authenticationv1.SelfSubjectReview]{
		Group:   authenticationv1.GroupName,
		Version: "v1", Kind: "SelfSubjectReview", Plural: "selfsubjectreviews",
		Verbs: []string{"create"},
		New:   meta.New[authenticationv1.SelfSubjectReview],
	}.Resource()
}
