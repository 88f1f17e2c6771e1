package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func subjectAccessReview() *api.Resource {
	return meta.Entry[*authorizationv1.SubjectAccessReview]{
		Group:   authorizationv1.GroupName,
		Version: "v1", Kind: "SubjectAccessReview", Plural: "subjectaccessreviews",
		Verbs: []string{"create"},
		New:   meta.New[authorizationv1.SubjectAccessReview],
	}.Resource()
}
