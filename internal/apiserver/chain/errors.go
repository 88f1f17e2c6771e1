package chain

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/store"
)

// optimisticLock is upstream's sentence for an update that comes too late; clients and people look for it.
const optimisticLock = "the object has been modified; please apply your changes to the latest version and try again"

var errModified = errors.New(optimisticLock)

func forbiddenStatus(a *request.Attributes, message string) metav1.Status {
	details := &metav1.StatusDetails{}
	if a.IsResource {
		details = &metav1.StatusDetails{Group: a.Group, Kind: a.Resource, Name: a.Name}
		prefix := a.Resource
		if a.Group != "" {
			prefix += "." + a.Group
		}
		if a.Name != "" {
			message = fmt.Sprintf("%s %q is forbidden: %s", prefix, a.Name, message)
		} else {
			message = fmt.Sprintf("%s is forbidden: %s", prefix, message)
		}
	} else {
		message = "forbidden: " + message
	}
	return metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Details: details, Message: message,
	}
}

// refusal makes a plugin's error a Status, Forbidden unless it is one already.
func refusal(op *admission.Operation, err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return err
	}
	gr := schema.GroupResource{Group: op.Group, Resource: op.Resource}
	return apierrors.NewForbidden(gr, op.Name, err)
}

// storeError makes an error of the store a Status error. Errors that are one already stay.
func storeError(err error, gr schema.GroupResource, name string) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return err
	case errors.Is(err, store.ErrNotFound):
		return apierrors.NewNotFound(gr, name)
	case errors.Is(err, store.ErrExists):
		return apierrors.NewAlreadyExists(gr, name)
	case errors.Is(err, store.ErrConflict):
		return apierrors.NewConflict(gr, name, errModified)
	case errors.Is(err, store.ErrCompacted):
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	case errors.Is(err, store.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.Is(err, store.ErrClosed):
		return apierrors.NewServiceUnavailable(err.Error())
	case errors.Is(err, store.ErrAmbiguous), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError(fmt.Sprintf("request did not complete within requested timeout - %v", err), 0)
	case errors.Is(err, context.Canceled):
		return apierrors.NewTimeoutError("request was cancelled by the client", 0)
	default:
		return apierrors.NewInternalError(err)
	}
}

// tooLarge says that a revision lies in the future.
func tooLarge(asked, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", asked, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// tooOld says that a watch can't begin at a revision any more.
func tooOld(asked, oldest int64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", asked, oldest))
}

// failedStep tells which step of a transaction failed on its precondition.
func failedStep(err error) (int, bool) {
	var op *store.OpError
	if errors.As(err, &op) {
		return op.Index, true
	}
	return 0, false
}
