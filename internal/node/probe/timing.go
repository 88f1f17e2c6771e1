package probe

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// firstPause is the pause after the first early failure of a readiness probe. It doubles up to the probe's period.
const firstPause = 25 * time.Millisecond

// timing says when one probe of one container is tried.
//
// Liveness and startup are first tried a period after the container's start, since nothing listens at once; that is also when
// the kubelet's ticker does at the latest. A container that was never ready is waited for by someone: it is tried at once and
// again after short, growing pauses. Failures of such tries before the first period has passed are early: they say only that
// the container is not ready yet, which was known.
type timing struct {
	period time.Duration
	first  time.Time
	// eager: the container waits for its first success. pause is the next one while it does.
	eager bool
	pause time.Duration
}

// newTiming returns the timing of a probe that may begin now. random returns a number in [0, 1).
func newTiming(kind Kind, spec *v1.Probe, t Target, now time.Time, random func() float64) timing {
	period := time.Duration(max(spec.PeriodSeconds, 1)) * time.Second
	delay := time.Duration(spec.InitialDelaySeconds) * time.Second
	tm := timing{period: period, pause: firstPause}
	switch {
	case kind != Readiness:
		delay = max(delay, period)
	case t.Before.Readiness != pod.Success:
		tm.eager = true
	}
	tm.first = t.Started.Add(delay)
	earliest := now
	if t.Before != (pod.Probes{}) {
		// The probes of all containers that an agent took over would begin in the same moment.
		earliest = now.Add(time.Duration(random() * float64(period)))
	}
	if tm.first.Before(earliest) {
		tm.first = earliest
	}
	return tm
}

// early says whether a failure of a try that begins then is to be passed over.
func (tm *timing) early(begun time.Time) bool {
	return tm.eager && begun.Before(tm.first.Add(tm.period))
}

// next returns when to try again after a try with that outcome. A period runs from one begin to the next, a pause from an end
// to a begin.
func (tm *timing) next(begun, ended time.Time, outcome pod.Result) time.Time {
	if outcome == pod.Success {
		tm.eager = false
	}
	if !tm.eager || tm.pause >= tm.period {
		return begun.Add(tm.period)
	}
	at := ended.Add(tm.pause)
	tm.pause *= 2
	return at
}
