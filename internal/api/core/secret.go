package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func secret() *api.Resource {
	return meta.Entry[*corev1.Secret]{
		Version: "v1", Kind: "Secret", Plural: "secrets",
		Namespaced: true,
		New:        meta.New[corev1.Secret],
		NewList:    meta.Empty[corev1.SecretList],
		Path:       "secrets",
		Default: func(s *corev1.Secret) {
			if s.Type == "" {
				s.Type = corev1.SecretTypeOpaque
			}
			mergeStringData(s)
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Type", corev1.Secret{}.SwaggerDoc()["type"]),
			meta.Column("Data", corev1.Secret{}.SwaggerDoc()["data"]),
			meta.AgeColumn(),
		},
		Row: func(s *corev1.Secret, now time.Time) []any {
			return []any{s.Name, string(s.Type), int64(len(s.Data)), meta.Age(s, now)}
		},
		Fields:         func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} },
		Validate:       validateSecret,
		ValidateUpdate: validateSecretUpdate,
		Warnings:       warnSecret,
	}.Resource()
}

// mergeStringData moves the write-only stringData into data.
func mergeStringData(s *corev1.Secret) {
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}
