package endpointslice_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/endpointslice"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, endpointslice.New(), "testdata", nil)
}

func TestEndpointsScenarios(t *testing.T) {
	reconciletest.Run(t, endpointslice.NewEndpoints(), "testdata/endpoints", nil)
}
