package chain

import (
	"context"
	"sync"
)

// progress lets a consistent read tell watches of the same resource to report how far they are, so that a remote cache need
// not wait for the next bookmark to know that it is as new as the read.
type progress struct {
	mu      sync.Mutex
	watches map[string]map[*Watch]struct{} // by storage prefix
}

func (p *progress) add(w *Watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches == nil {
		p.watches = map[string]map[*Watch]struct{}{}
	}
	set := p.watches[w.kind.prefix]
	if set == nil {
		set = map[*Watch]struct{}{}
		p.watches[w.kind.prefix] = set
	}
	set[w] = struct{}{}
}

func (p *progress) remove(w *Watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watches[w.kind.prefix], w)
}

// request wakes the watches of a resource.
func (p *progress) request(prefix string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.watches[prefix] {
		w.poke()
	}
}

// poke makes a waiting Next return, or the next one.
func (w *Watch) poke() {
	w.pokeMu.Lock()
	defer w.pokeMu.Unlock()
	w.poked = true
	if w.wake != nil {
		w.wake()
	}
}

// listen arms wake for one wait; false means that a poke came before.
func (w *Watch) listen(wake context.CancelFunc) bool {
	w.pokeMu.Lock()
	defer w.pokeMu.Unlock()
	if w.poked {
		w.poked = false
		return false
	}
	w.wake = wake
	return true
}

// unlisten ends a wait and tells whether a poke ended it.
func (w *Watch) unlisten() {
	w.pokeMu.Lock()
	defer w.pokeMu.Unlock()
	w.wake = nil
	w.poked = false
}

// RequestProgress makes the watches of a resource that asked for it report how far they are.
func (c *Chain) RequestProgress(ctx context.Context, t Target) {
	if k, err := c.kind(ctx, t.Resource); err == nil {
		c.progress.request(k.prefix)
	}
}
