package nodelifecycle_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/nodelifecycle"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, nodelifecycle.NewHealth(nodelifecycle.Config{}), "testdata", nil)
}

func TestEvictionScenarios(t *testing.T) {
	reconciletest.Run(t, nodelifecycle.NewEviction(nodelifecycle.Config{}), "testdata/eviction", nil)
}
