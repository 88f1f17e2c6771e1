package events

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

// event is a view on core events: the same objects under the same keys, with other field names.
func event() *api.Resource {
	r := *core.Event()
	r.Group = eventsv1.GroupName
	r.StoragePath = ""
	r.StoredAs = schema.GroupResource{Resource: "events"}
	r.Versions = []api.Version{{
		Name:       "v1",
		New:        meta.Empty[eventsv1.Event],
		NewList:    meta.Empty[eventsv1.EventList],
		ToStored:   func(obj runtime.Object) (api.Object, error) { return toCore(obj) },
		FromStored: func(obj api.Object) (runtime.Object, error) { return fromCore(obj) },
	}}
	r.Strategy.Validate, r.Strategy.ValidateUpdate = validate, validateUpdate()
	stored := r.SelectableFields
	r.SelectableFields = func(obj api.Object) fields.Set { return renamed(stored(obj)) }
	return &r
}

// renamed gives core's selectable fields the names of this group.
func renamed(in fields.Set) fields.Set {
	return fields.Set{
		"metadata.name":             in["metadata.name"],
		"metadata.namespace":        in["metadata.namespace"],
		"reason":                    in["reason"],
		"type":                      in["type"],
		"reportingController":       in["reportingComponent"],
		"regarding.kind":            in["involvedObject.kind"],
		"regarding.namespace":       in["involvedObject.namespace"],
		"regarding.name":            in["involvedObject.name"],
		"regarding.uid":             in["involvedObject.uid"],
		"regarding.apiVersion":      in["involvedObject.apiVersion"],
		"regarding.resourceVersion": in["involvedObject.resourceVersion"],
		"regarding.fieldPath":       in["involvedObject.fieldPath"],
	}
}

func toCore(obj runtime.Object) (*corev1.Event, error) {
	in, ok := obj.(*eventsv1.Event)
	if !ok {
		return nil, fmt.Errorf("converting %T to a core event: not an events.k8s.io event", obj)
	}
	out := &corev1.Event{
		ObjectMeta:          in.ObjectMeta,
		InvolvedObject:      in.Regarding,
		Reason:              in.Reason,
		Message:             in.Note,
		Source:              in.DeprecatedSource,
		FirstTimestamp:      in.DeprecatedFirstTimestamp,
		LastTimestamp:       in.DeprecatedLastTimestamp,
		Count:               in.DeprecatedCount,
		Type:                in.Type,
		EventTime:           in.EventTime,
		Action:              in.Action,
		Related:             in.Related,
		ReportingController: in.ReportingController,
		ReportingInstance:   in.ReportingInstance,
	}
	out.APIVersion, out.Kind = "v1", "Event"
	if in.Series != nil {
		out.Series = &corev1.EventSeries{Count: in.Series.Count, LastObservedTime: in.Series.LastObservedTime}
	}
	return out, nil
}

func fromCore(obj api.Object) (*eventsv1.Event, error) {
	in, ok := obj.(*corev1.Event)
	if !ok {
		return nil, fmt.Errorf("converting %T to an events.k8s.io event: not a core event", obj)
	}
	out := &eventsv1.Event{
		ObjectMeta:               in.ObjectMeta,
		Regarding:                in.InvolvedObject,
		Reason:                   in.Reason,
		Note:                     in.Message,
		DeprecatedSource:         in.Source,
		DeprecatedFirstTimestamp: in.FirstTimestamp,
		DeprecatedLastTimestamp:  in.LastTimestamp,
		DeprecatedCount:          in.Count,
		Type:                     in.Type,
		EventTime:                in.EventTime,
		Action:                   in.Action,
		Related:                  in.Related,
		ReportingController:      in.ReportingController,
		ReportingInstance:        in.ReportingInstance,
	}
	out.APIVersion, out.Kind = eventsv1.SchemeGroupVersion.String(), "Event"
	if in.Series != nil {
		out.Series = &eventsv1.EventSeries{Count: in.Series.Count, LastObservedTime: in.Series.LastObservedTime}
	}
	return out, nil
}
