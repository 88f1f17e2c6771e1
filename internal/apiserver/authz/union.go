package authz

import (
	"context"
	"errors"
	"slices"
	"strings"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Union asks authorizers in order. The first that allows or denies decides; the reasons of those without an opinion are kept
// for the one who is refused.
type Union []Authorizer

// Authorize implements Authorizer.
func (u Union) Authorize(ctx context.Context, a *request.Attributes) (Decision, string, error) {
	var reasons []string
	var failed error
	for _, authorizer := range u {
		decision, reason, err := authorizer.Authorize(ctx, a)
		if decision != NoOpinion {
			return decision, reason, err
		}
		failed = errors.Join(failed, err)
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return NoOpinion, strings.Join(reasons, "\n"), failed
}

// Masters allows the group system:masters everything. A cluster's first administrator and the server itself are in it: no
// role that is missing or broken can lock them out.
type Masters struct{}

// Authorize implements Authorizer.
func (Masters) Authorize(_ context.Context, a *request.Attributes) (Decision, string, error) {
	if a.User.InGroup(request.GroupMasters) {
		return Allow, "", nil
	}
	return NoOpinion, "", nil
}

// Paths allows everyone to read the given paths that are about no resource. A trailing "*" stands for any end.
type Paths []string

// Authorize implements Authorizer.
func (p Paths) Authorize(_ context.Context, a *request.Attributes) (Decision, string, error) {
	if a.IsResource {
		return NoOpinion, "", nil
	}
	if slices.ContainsFunc(p, func(path string) bool {
		prefix, wild := strings.CutSuffix(path, "*")
		return path == a.Path || wild && strings.HasPrefix(a.Path, prefix)
	}) {
		return Allow, "", nil
	}
	return NoOpinion, "", nil
}

// HealthPaths are what upstream lets everyone read by default.
func HealthPaths() Paths { return Paths{"/healthz", "/readyz", "/livez"} }

// New returns the authorizer of a whole server: system:masters, the health paths, the nodes, RBAC. node may be nil.
func New(node *Node, rbac *RBAC) Union {
	all := Union{Masters{}, HealthPaths()}
	if node != nil {
		all = append(all, node)
	}
	return append(all, rbac)
}
