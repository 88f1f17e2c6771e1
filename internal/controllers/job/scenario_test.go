package job_test

import (
	"testing"

	"coracle.dev/coracle/internal/controllers/job"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	reconciletest.Run(t, job.New(), "testdata", nil)
}
