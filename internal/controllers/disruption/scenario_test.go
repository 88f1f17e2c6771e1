package disruption_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/disruption"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, disruption.New(), "testdata", nil)
}
