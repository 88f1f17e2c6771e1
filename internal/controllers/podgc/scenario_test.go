package podgc_test

import (
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/controllers/podgc"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	c := podgc.New(podgc.Config{Finished: 1}, podgc.NewNodePort(clock.RealClock{}))
	reconciletest.Run(t, c, "testdata", func(_ string, text []byte) (any, error) { return strings.TrimSpace(string(text)) == "true", nil })
}
