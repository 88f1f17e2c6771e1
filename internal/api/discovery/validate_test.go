package discovery

import (
	"flag"
	"testing"

	"coracle.dev/coracle/internal/api/apitest"
)

var _ = flag.Bool("rewrite", false, "bring the scenario files up to date instead of comparing with them")

func TestValidate(t *testing.T) { apitest.Validate(t, Resources()) }
