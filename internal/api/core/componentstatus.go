package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

// componentStatus is computed by the server on every read and never stored.
func componentStatus() *api.Resource {
	return meta.Entry[*corev1.ComponentStatus]{
		Version: "v1", Kind: "ComponentStatus", Plural: "componentstatuses",
		Short:   []string{"cs"},
		Verbs:   []string{"get", "list"},
		New:     meta.New[corev1.ComponentStatus],
		NewList: meta.Empty[corev1.ComponentStatusList],
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Status", "Whether the component is healthy."),
			meta.Column("Message", "What the component said about its health."),
			meta.Column("Error", "What went wrong when it was asked."),
		},
		Row: func(c *corev1.ComponentStatus, _ time.Time) []any {
			for _, cond := range c.Conditions {
				if cond.Type != corev1.ComponentHealthy {
					continue
				}
				status := "Unhealthy"
				if cond.Status == corev1.ConditionTrue {
					status = "Healthy"
				}
				return []any{c.Name, status, cond.Message, cond.Error}
			}
			return []any{c.Name, "Unknown", "", ""}
		},
	}.Resource()
}
