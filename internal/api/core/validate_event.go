package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Limits of an event's texts, in bytes.
const (
	maxEventWord = 128
	maxEventNote = 1024
)

func validateEvent(e *corev1.Event) field.ErrorList {
	return ValidateEventBasics(e, "reportingComponent")
}

func validateEventUpdate(e, _ *corev1.Event) field.ErrorList { return validateEvent(e) }

// ValidateEventBasics judges an event by the rules that hold in every version of the API. reporter is the name of the field that
// says which controller reports it.
func ValidateEventBasics(e *corev1.Event, reporter string) field.ErrorList {
	if e.EventTime.IsZero() {
		return validateOldEvent(e)
	}
	var errs field.ErrorList
	if e.InvolvedObject.Namespace == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		errs = append(errs, otherNamespace(e))
	}
	errs = append(errs, rule.Given(field.NewPath(reporter), e.ReportingController)...)
	errs = append(errs, rule.QualifiedName(field.NewPath(reporter), e.ReportingController)...)
	bounded := func(name, value string, limit int, mayBeEmpty bool) {
		if value == "" && !mayBeEmpty {
			errs = append(errs, field.Required(field.NewPath(name), ""))
		}
		if len(value) > limit {
			errs = append(errs, field.Invalid(field.NewPath(name), "", fmt.Sprintf("can have at most %v characters", limit)))
		}
	}
	bounded("reportingInstance", e.ReportingInstance, maxEventWord, false)
	bounded("action", e.Action, maxEventWord, false)
	bounded("reason", e.Reason, maxEventWord, false)
	bounded("message", e.Message, maxEventNote, true)
	return errs
}

// validateOldEvent is for events as they were before they had a time of their own.
func validateOldEvent(e *corev1.Event) field.ErrorList {
	involved := e.InvolvedObject.Namespace
	if involved == "" {
		// Clients once put events about cluster-wide objects into the default namespace.
		if e.Namespace == "" || e.Namespace == metav1.NamespaceDefault {
			return nil
		}
		return field.ErrorList{otherNamespace(e)}
	}
	if involved != e.Namespace {
		return field.ErrorList{otherNamespace(e)}
	}
	return nil
}

func otherNamespace(e *corev1.Event) *field.Error {
	return field.Invalid(field.NewPath("involvedObject", "namespace"), e.InvolvedObject.Namespace,
		"does not match event.namespace")
}
