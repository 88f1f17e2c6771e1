package pod

import "time"

// The delays between restarts of a crashing container.
const (
	FirstBackoff = 10 * time.Second
	MaxBackoff   = 5 * time.Minute
	// BackoffReset is how long after the last start a container must have run for its delay to begin anew.
	BackoffReset = 2 * MaxBackoff
)

// Backoff is a container's crash back-off: what the last start left behind.
type Backoff struct {
	Delay time.Duration
	// Begun is when the last start was decided.
	Begun time.Time
}

// next returns the back-off after starting again at now a container that ended at finished.
func (b Backoff) next(finished, now time.Time) Backoff {
	if b.Delay == 0 || finished.Sub(b.Begun) > BackoffReset {
		return Backoff{Delay: FirstBackoff, Begun: now}
	}
	return Backoff{Delay: min(2*b.Delay, MaxBackoff), Begun: now}
}

// until returns when a container that ended at finished may start again; a time in the past if it may now.
func (b Backoff) until(finished time.Time) time.Time {
	if b.Delay == 0 || finished.Sub(b.Begun) > BackoffReset {
		return finished
	}
	return finished.Add(b.Delay)
}

// AfterStart returns the back-off to remember when a start of the named container begins.
func AfterStart(o *Observed, name string) Backoff {
	prev := o.Backoff[name]
	c := o.newest(name)
	if c == nil || c.State != Exited {
		return prev
	}
	return prev.next(c.Finished, o.Now)
}

// Remembered guesses the back-off of a container from its history in the runtime, for an agent that just started.
func Remembered(o *Observed, name string) Backoff {
	c := o.newest(name)
	if c == nil || c.Restarts == 0 || (c.State == Exited && c.Finished.Sub(c.Started) > BackoffReset) {
		return Backoff{}
	}
	delay := FirstBackoff
	for i := int32(1); i < c.Restarts && delay < MaxBackoff; i++ {
		delay *= 2
	}
	return Backoff{Delay: min(delay, MaxBackoff), Begun: c.Created}
}
