package table

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
)

// Columns returns the columns of a kind; Name and Created At when the catalogue says nothing.
func Columns(res *api.Resource) []metav1.TableColumnDefinition {
	if len(res.Table.Columns) > 0 {
		return res.Table.Columns
	}
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."},
		{Name: "Created At", Type: "date", Description: "When the object was created."},
	}
}

// Row makes the row of an object as seen at now. Raw is what the row carries of the object, nil for nothing.
func Row(res *api.Resource, obj api.Object, raw []byte, now time.Time) metav1.TableRow {
	row := metav1.TableRow{}
	if raw != nil {
		row.Object = runtime.RawExtension{Raw: raw}
	}
	if res.Table.Row == nil {
		row.Cells = []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
		return row
	}
	row.Cells = res.Table.Row(obj, now)
	if res.Table.Conditions != nil {
		row.Conditions = res.Table.Conditions(obj)
	}
	return row
}
