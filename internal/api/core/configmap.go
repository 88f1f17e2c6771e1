package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func configMap() *api.Resource {
	return meta.Entry[*corev1.ConfigMap]{
		Version: "v1", Kind: "ConfigMap", Plural: "configmaps",
		Short:               []string{"cm"},
		Namespaced:          true,
		New:                 meta.New[corev1.ConfigMap],
		NewList:             meta.Empty[corev1.ConfigMapList],
		Path:                "configmaps",
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Data", corev1.ConfigMap{}.SwaggerDoc()["data"]),
			meta.AgeColumn(),
		},
		Row: func(c *corev1.ConfigMap, now time.Time) []any {
			return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), meta.Age(c, now)}
		},
		Validate:       validateConfigMap,
		ValidateUpdate: validateConfigMapUpdate,
	}.Resource()
}
