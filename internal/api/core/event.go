package core

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

// Event returns the entry of core events. The events group serves the same objects in another form.
func Event() *api.Resource {
	return meta.Entry[*corev1.Event]{
		Version: "v1", Kind: "Event", Plural: "events",
		Short:               []string{"ev"},
		Namespaced:          true,
		New:                 meta.New[corev1.Event],
		NewList:             meta.Empty[corev1.EventList],
		Path:                "events",
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		NoGarbageCollection: true,
		Columns:             eventColumns(),
		Row:                 eventRow,
		Fields:              eventFields,
		Validate:            validateEvent,
		ValidateUpdate:      validateEventUpdate,
		AnyFinalizer:        true,
	}.Resource()
}

func eventFields(e *corev1.Event) fields.Set {
	return fields.Set{
		"involvedObject.kind":            e.InvolvedObject.Kind,
		"involvedObject.namespace":       e.InvolvedObject.Namespace,
		"involvedObject.name":            e.InvolvedObject.Name,
		"involvedObject.uid":             string(e.InvolvedObject.UID),
		"involvedObject.apiVersion":      e.InvolvedObject.APIVersion,
		"involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath":       e.InvolvedObject.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         cmp.Or(e.Source.Component, e.ReportingController),
		"type":                           e.Type,
	}
}

func eventColumns() []metav1.TableColumnDefinition {
	doc := corev1.Event{}.SwaggerDoc()
	name := meta.NameColumn()
	return []metav1.TableColumnDefinition{
		meta.Column("Last Seen", doc["lastTimestamp"]),
		meta.Column("Type", doc["type"]),
		meta.Column("Reason", doc["reason"]),
		meta.Column("Object", doc["involvedObject"]),
		meta.Wide(meta.Column("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"])),
		meta.Wide(meta.Column("Source", doc["source"])),
		meta.Column("Message", doc["message"]),
		meta.Wide(meta.Column("First Seen", doc["firstTimestamp"])),
		meta.Wide(meta.Column("Count", doc["count"])),
		meta.Wide(name),
	}
}

func eventRow(e *corev1.Event, now time.Time) []any {
	first := meta.Since(e.FirstTimestamp, now)
	if e.FirstTimestamp.IsZero() {
		first = meta.SinceMicro(e.EventTime, now)
	}
	last := meta.Since(e.LastTimestamp, now)
	if e.LastTimestamp.IsZero() {
		last = first
	}
	count := max(e.Count, 1)
	if e.Series != nil {
		last = meta.SinceMicro(e.Series.LastObservedTime, now)
		count = e.Series.Count
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	source := cmp.Or(e.Source.Component, e.ReportingController)
	if where := cmp.Or(e.Source.Host, e.ReportingInstance); where != "" {
		source += ", " + where
	}
	return []any{
		last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, source, strings.TrimSpace(e.Message),
		first, int64(count), e.Name,
	}
}
