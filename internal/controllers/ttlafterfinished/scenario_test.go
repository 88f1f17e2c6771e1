package ttlafterfinished_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/ttlafterfinished"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, ttlafterfinished.New(), "testdata", nil)
}
