package meta

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"coracle.dev/coracle/internal/api"
)

// Unknown and None stand in cells that have no value, as kubectl's users know them.
const (
	Unknown = "<unknown>"
	None    = "<none>"
	Unset   = "<unset>"
)

// NameColumn is the first column of almost every table.
func NameColumn() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{
		Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
	}
}

// AgeColumn says how long ago the object was created.
func AgeColumn() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{
		Name: "Age", Type: "string", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
	}
}

// Column is a column of text.
func Column(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

// Typed is a column of another JSON type ("integer", "boolean", "date").
func Typed(name, kind, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: kind, Description: description}
}

// Wide makes a column show only with -o wide.
func Wide(c metav1.TableColumnDefinition) metav1.TableColumnDefinition {
	c.Priority = 1
	return c
}

// CreatedTable prints the name and the time of creation: upstream's table for kinds without one of their own, custom resources
// among them.
func CreatedTable() api.Table {
	return api.Table{
		Columns: []metav1.TableColumnDefinition{
			NameColumn(),
			Typed("Created At", "date", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]),
		},
		Row: func(obj api.Object, _ time.Time) []any {
			return []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
		},
	}
}

// AgeColumns and AgeRow print the name and the age.
func AgeColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{NameColumn(), AgeColumn()}
}

// AgeRow is the row for AgeColumns.
func AgeRow[T api.Object](obj T, now time.Time) []any { return []any{obj.GetName(), Age(obj, now)} }

// Age returns the object's age at now in kubectl's short form.
func Age(obj api.Object, now time.Time) string { return Since(obj.GetCreationTimestamp(), now) }

// Since returns the time from t to now in kubectl's short form, "<unknown>" for a zero t.
func Since(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// SinceMicro is Since for times of microsecond precision.
func SinceMicro(t metav1.MicroTime, now time.Time) string {
	return Since(metav1.Time(t), now)
}

// OrNone returns s, or "<none>" for an empty one.
func OrNone(s string) string {
	if s == "" {
		return None
	}
	return s
}

// OrUnknown returns s, or "<unknown>" for an empty one.
func OrUnknown(s string) string {
	if s == "" {
		return Unknown
	}
	return s
}

// Deref returns what p points at, or the zero value.
func Deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// Containers returns the names and the images of containers, each joined by commas.
func Containers(list []corev1.Container) (names, images string) {
	n, im := make([]string, len(list)), make([]string, len(list))
	for i := range list {
		n[i], im[i] = list[i].Name, list[i].Image
	}
	return strings.Join(n, ","), strings.Join(im, ",")
}

// ContainerColumns are the wide columns for Containers.
func ContainerColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		Wide(Column("Containers", "The names of the template's containers.")),
		Wide(Column("Images", "The images of the template's containers.")),
	}
}

// Few joins the first texts by commas and says how many more there are; "<unset>" when there are none.
func Few(all []string, limit int) string {
	if len(all) <= limit {
		if text := strings.Join(all, ","); text != "" {
			return text
		}
		return Unset
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(all[:limit], ","), len(all)-limit)
}
