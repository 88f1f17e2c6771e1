package node

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/node/cri"
)

// How soon a broken stream of events is opened again, and how often pods are looked at when the runtime has no events.
const (
	eventsAgain = 200 * time.Millisecond
	relist      = time.Second
)

// runRuntimeEvents wakes the worker of each pod of which the runtime reports a change. After a break in the stream everything is
// looked at again.
func (a *Agent) runRuntimeEvents(ctx context.Context) error {
	said := false
	for ctx.Err() == nil {
		err := a.runtime.Events(ctx, a.lookAtAll, a.runtimeEvent)
		if ctx.Err() != nil {
			return nil
		}
		pause := eventsAgain
		if cri.Unsupported(err) {
			pause = relist
			a.lookAtAll()
		}
		if !said {
			a.cfg.Logger.Warn("the runtime's events can't be followed; trying again", "err", err)
			said = true
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
	return nil
}

func (a *Agent) runtimeEvent(uid string) {
	if uid == "" {
		a.lookAtAll()
		return
	}
	if w := a.worker(types.UID(uid)); w != nil {
		w.runtimeChanged()
	}
}

func (a *Agent) lookAtAll() {
	for _, w := range a.all() {
		w.runtimeChanged()
	}
}
