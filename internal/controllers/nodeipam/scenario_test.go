package nodeipam_test

import (
	"net/netip"
	"testing"

	"coracle.dev/coracle/internal/controllers/nodeipam"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestScenarios(t *testing.T) {
	c, err := nodeipam.New(
		nodeipam.Range{Prefix: netip.MustParsePrefix("10.42.0.0/22"), NodeBits: 24},
		nodeipam.Range{Prefix: netip.MustParsePrefix("fd42::/56"), NodeBits: 64},
	)
	if err != nil {
		t.Fatal(err)
	}
	reconciletest.Run(t, c, "testdata", nil)
}
