package node

import (
	"context"
	"sync"
	"time"
)

// At least so many sandboxes are made at once, and after so long one of them is no longer counted.
const (
	minMaking  = 4
	longMaking = 2 * time.Second
)

// gate lets only some through at once. Work that keeps the processors busy is done no sooner when all of it is begun together;
// only its first results come later. Who is inside for long is waiting for something else, and no longer keeps others out.
// Safe for concurrent use.
type gate struct {
	places chan struct{}
	long   time.Duration
}

func newGate(places int, long time.Duration) *gate {
	return &gate{places: make(chan struct{}, places), long: long}
}

// enter waits for a place, or for the end of ctx. leave gives the place back.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var once sync.Once
	free := func() { once.Do(func() { <-g.places }) }
	timer := time.AfterFunc(g.long, free)
	return func() {
		timer.Stop()
		free()
	}, nil
}
