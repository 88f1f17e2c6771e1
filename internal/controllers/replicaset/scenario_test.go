package replicaset_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/replicaset"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, replicaset.New(), "testdata", nil)
}

func TestReplicationControllerScenarios(t *testing.T) {
	reconciletest.Run(t, replicaset.NewReplicationController(), "testdata/replicationcontroller", nil)
}
