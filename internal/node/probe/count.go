package probe

import (
	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// Kind of a probe.
type Kind string

// The kinds of probes, as events name them.
const (
	Startup   Kind = "Startup"
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
)

// counter turns tries into results by the probe's thresholds.
type counter struct {
	last   pod.Result
	run    int32
	result pod.Result
}

// try counts one try and says whether the result changed.
func (c *counter) try(p *v1.Probe, r pod.Result) bool {
	if r == c.last {
		c.run++
	} else {
		c.last, c.run = r, 1
	}
	need := p.SuccessThreshold
	if r == pod.Failure {
		need = p.FailureThreshold
	}
	if c.run < max(need, 1) || c.result == r {
		return false
	}
	c.result = r
	return true
}
