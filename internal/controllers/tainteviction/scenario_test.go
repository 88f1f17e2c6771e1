package tainteviction_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/tainteviction"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, tainteviction.New(), "testdata", nil)
}
