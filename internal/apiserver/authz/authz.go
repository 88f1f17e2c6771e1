package authz

import (
	"context"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Decision of an authorizer.
type Decision int

// The decisions. NoOpinion by all authorizers means forbidden.
const (
	NoOpinion Decision = iota
	Allow
	Deny
)

// Authorizer decides on a call. The reason is for people and may be empty.
type Authorizer interface {
	Authorize(ctx context.Context, a *request.Attributes) (Decision, string, error)
}
