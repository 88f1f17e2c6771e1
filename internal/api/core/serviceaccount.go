package core

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func serviceAccount() *api.Resource {
	return meta.Entry[*corev1.ServiceAccount]{
		Version: "v1", Kind: "ServiceAccount", Plural: "serviceaccounts",
		Short:      []string{"sa"},
		Namespaced: true,
		New:        meta.New[corev1.ServiceAccount],
		NewList:    meta.Empty[corev1.ServiceAccountList],
		Path:       "serviceaccounts",
		Subresources: []api.Subresource{{
			Name: "token", GVK: authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"),
			New: meta.Empty[authenticationv1.TokenRequest], Verbs: []string{"create"},
		}},
		PrepareCreate:       keepSecretNames,
		PrepareUpdate:       func(s, _ *corev1.ServiceAccount) { keepSecretNames(s) },
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             meta.AgeColumns(),
		Row:                 meta.AgeRow[*corev1.ServiceAccount],
		Warnings:            warnServiceAccount,
	}.Resource()
}

// keepSecretNames reduces references to secrets to their names: they are always in the account's own namespace.
func keepSecretNames(s *corev1.ServiceAccount) {
	for i := range s.Secrets {
		s.Secrets[i] = corev1.ObjectReference{Name: s.Secrets[i].Name}
	}
}
