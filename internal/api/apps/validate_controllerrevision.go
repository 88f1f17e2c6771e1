package apps

import (
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

func validateControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := rule.NonNegative(field.NewPath("revision"), r.Revision)
	at := field.NewPath("data")
	var data any
	switch raw := r.Data.Raw; {
	case raw == nil:
		return append(errs, field.Required(at, "data is mandatory"))
	default:
		if err := json.Unmarshal(raw, &data); err != nil {
			return append(errs, field.Invalid(at, "<value omitted>", "error parsing data: "+err.Error()))
		}
	}
	switch data.(type) {
	case nil:
		errs = append(errs, field.Required(at, "data is mandatory"))
	case map[string]any:
	default:
		errs = append(errs, field.Required(at, "data must be a valid JSON object"))
	}
	return errs
}

func validateControllerRevisionUpdate(r, old *appsv1.ControllerRevision) field.ErrorList {
	return append(rule.NonNegative(field.NewPath("revision"), r.Revision),
		rule.Unchanged(field.NewPath("data"), r.Data, old.Data)...)
}
