package serviceaccount_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/serviceaccount"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, serviceaccount.New(), "testdata", nil)
}
