package namespace_test

import (
	"encoding/json"
	"testing"

	"coracle.dev/coracle/internal/controllers/namespace"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	c := namespace.New(namespace.EmptyPort{})
	reconciletest.Run(t, c, "testdata", func(_ string, text []byte) (any, error) {
		var r namespace.Report
		err := json.Unmarshal(text, &r)
		return r, err
	})
}
