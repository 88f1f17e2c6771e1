package garbagecollector_test

import (
	"strings"
	"testing"

	"coracle.dev/coracle/internal/controllers/garbagecollector"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	c := garbagecollector.New(garbagecollector.OwnerPort{})
	reconciletest.Run(t, c, "testdata", func(_ string, text []byte) (any, error) { return strings.TrimSpace(string(text)) == "true", nil })
}
