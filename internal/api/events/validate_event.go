package events

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// reporterField says in this group which controller reports an event.
const reporterField = "reportingController"

func validate(obj api.Object) field.ErrorList {
	errs := meta.ValidateObjectMeta(obj, true, meta.DNSSubdomain)
	errs = append(errs, meta.ValidateFinalizers(obj)...)
	return append(errs, validateEvent(obj.(*corev1.Event))...)
}

func validateUpdate() func(obj, old api.Object) field.ErrorList {
	return meta.ValidateUpdate(true, validateEventUpdate)
}

// validateEvent is stricter than the older group: what only the older one has must be absent. Its errors carry the stored names.
func validateEvent(e *corev1.Event) field.ErrorList {
	errs := core.ValidateEventBasics(e, reporterField)
	errs = append(errs, validateSeries(e)...)
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", e.Type)))
	}
	absent := func(name string, set bool) {
		if set {
			errs = append(errs, field.Invalid(field.NewPath(name), "", "needs to be unset"))
		}
	}
	absent("firstTimestamp", !e.FirstTimestamp.IsZero())
	absent("lastTimestamp", !e.LastTimestamp.IsZero())
	absent("count", e.Count != 0)
	absent("source", e.Source.Component != "" || e.Source.Host != "")
	return errs
}

func validateSeries(e *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	if e.Series == nil {
		return nil
	}
	if e.Series.Count < 2 {
		errs = append(errs, field.Invalid(field.NewPath("series", "count"), "", "should be at least 2"))
	}
	if e.Series.LastObservedTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("series", "lastObservedTime"), ""))
	}
	return errs
}

// validateEventUpdate lets the series change and nothing else of what the event tells.
func validateEventUpdate(e, old *corev1.Event) field.ErrorList {
	errs := core.ValidateEventBasics(e, reporterField)
	if !equality.Semantic.DeepEqual(e.Series, old.Series) {
		errs = append(errs, validateSeries(e)...)
	}
	unchanged := func(name string, now, before any) {
		errs = append(errs, rule.Unchanged(field.NewPath(name), now, before)...)
	}
	unchanged("involvedObject", e.InvolvedObject, old.InvolvedObject)
	unchanged("reason", e.Reason, old.Reason)
	unchanged("message", e.Message, old.Message)
	unchanged("source", e.Source, old.Source)
	unchanged("firstTimestamp", e.FirstTimestamp, old.FirstTimestamp)
	unchanged("lastTimestamp", e.LastTimestamp, old.LastTimestamp)
	unchanged("count", e.Count, old.Count)
	unchanged("type", e.Type, old.Type)
	// The time travels in microseconds; some clients keep more than that.
	if !e.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		unchanged("eventTime", e.EventTime, old.EventTime)
	}
	unchanged("action", e.Action, old.Action)
	unchanged("related", e.Related, old.Related)
	unchanged("reportingController", e.ReportingController, old.ReportingController)
	unchanged("reportingInstance", e.ReportingInstance, old.ReportingInstance)
	return errs
}
