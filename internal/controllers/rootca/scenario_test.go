package rootca_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/rootca"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, rootca.New([]byte("CERTIFICATE")), "testdata", nil)
}
