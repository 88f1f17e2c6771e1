package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func selfSubjectAccessReview() *api.Resource {
	return meta.Entry[*authorizationv1.SelfSubjectAccessReview]{
		Group:   authorizationv1.GroupName,
		Version: "v1", Kind: "SelfSubjectAccessReview", Plural: "selfsubjectaccessreviews",
		Verbs: []string{"create"},
		New:   meta.New[authorizationv1.SelfSubjectAccessReview],
	}.Resource()
}
