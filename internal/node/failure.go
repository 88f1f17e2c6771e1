package node

import (
	"errors"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/image"
)

// Reasons of containers that wait, beside those of images.
const (
	reasonConfig = "CreateContainerConfigError"
	reasonCreate = "CreateContainerError"
	reasonRun    = "RunContainerError"
	reasonHook   = "PostStartHookError"
)

// failure is why a container was not started, in the words of a waiting container.
type failure struct {
	reason, message string
	// pull: its image could not be had. made: the container exists and has ended.
	pull, made bool
}

func (f *failure) Error() string { return f.reason + ": " + f.message }

// event is what the Failed event says after "Error: ".
func (f *failure) event() string {
	if f.pull {
		return f.reason
	}
	return f.message
}

func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var i *image.Failure
	if errors.As(err, &i) {
		return &failure{reason: i.Reason, message: i.Message, pull: true}
	}
	return &failure{reason: reasonCreate, message: cri.Sentence(err)}
}
