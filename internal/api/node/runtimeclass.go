package node

import (
	"time"

	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func runtimeClass() *api.Resource {
	return meta.Entry[*nodev1.RuntimeClass]{
		Group:   nodev1.GroupName,
		Version: "v1", Kind: "RuntimeClass", Plural: "runtimeclasses",
		New:            meta.New[nodev1.RuntimeClass],
		NewList:        meta.Empty[nodev1.RuntimeClassList],
		Path:           "runtimeclasses",
		CreateOnUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Handler", nodev1.RuntimeClass{}.SwaggerDoc()["handler"]),
			meta.AgeColumn(),
		},
		Row:            func(c *nodev1.RuntimeClass, now time.Time) []any { return []any{c.Name, c.Handler, meta.Age(c, now)} },
		Validate:       validateClass,
		ValidateUpdate: validateClassUpdate,
		Warnings:       warnClass,
		AnyFinalizer:   true,
	}.Resource()
}
