package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func selfSubjectRulesReview() *api.Resource {
	return meta.Entry[*authorizationv1.SelfSubjectRulesReview]{
		Group:   authorizationv1.GroupName,
		Version: "v1", Kind: "SelfSubjectRulesReview", Plural: "selfsubjectrulesreviews",
		Verbs: []string{"create"},
		New:   meta.New[authorizationv1.SelfSubjectRulesReview],
	}.Resource()
}
