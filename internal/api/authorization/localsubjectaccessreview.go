package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func localSubjectAccessReview() *api.Resource {
	return meta.Entry[*authorizationv1.LocalSubjectAccessReview]{
		Group:   authorizationv1.GroupName,
		Version: "v1", Kind: "LocalSubjectAccessReview", Plural: "localsubjectaccessreviews",
		Namespaced: true,
		Verbs:      []string{"create"},
		New:        meta.New[authorizationv1.LocalSubjectAccessReview],
	}.Resource()
}
