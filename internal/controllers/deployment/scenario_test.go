package deployment_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/deployment"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, deployment.New(), "testdata", nil)
}
