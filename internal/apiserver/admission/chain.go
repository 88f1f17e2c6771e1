package admission

import (
	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/lookup"
)

// Config is what the default plugins need.
type Config struct {
	// Objects reads other objects. Required.
	Objects *lookup.Reader
	// Authorizer is asked by plugins for which a right depends on what is written. Required.
	Authorizer authz.Authorizer
	// RBAC resolves roles, so that nobody grants what they do not hold. Required.
	RBAC *authz.RBAC
	// Suffix makes the random end of a volume's name; nil: five random letters and digits.
	Suffix func() string
}

// Default returns the plugins of a server, in the order in which they run. Upstream's order, with its default plugins.
func Default(cfg Config) []Plugin {
	if cfg.Suffix == nil {
		cfg.Suffix = func() string { return utilrand.String(5) } //nolint:forbidigo // the usual one; tests bring their own
	}
	return []Plugin{
		NewNamespaceLifecycle(cfg.Objects),
		NewServiceAccount(cfg.Objects, cfg.Suffix),
		NewNodeRestriction(cfg.Objects, cfg.Authorizer),
		NewTaintNodesByCondition(),
		NewPriority(cfg.Objects),
		NewDefaultTolerationSeconds(defaultTolerationSeconds),
		NewDefaultStorageClass(cfg.Objects),
		NewStorageObjectInUseProtection(),
		NewPersistentVolumeClaimResize(cfg.Objects),
		NewRuntimeClass(cfg.Objects),
		NewCertificateApproval(cfg.Authorizer),
		NewCertificateSigning(cfg.Authorizer),
		NewCertificateSubjectRestriction(),
		NewDefaultIngressClass(cfg.Objects),
		NewRBACEscalation(cfg.RBAC, cfg.Authorizer),
	}
}
