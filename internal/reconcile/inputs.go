package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// inputs are the caches of one runner, followed for changes. Safe for concurrent use.
type inputs struct {
	r       *runner
	primary string // the first declared kind, for logs
	every   bool
	owned   *dependents // nil unless asked for

	mu     sync.RWMutex
	opened map[schema.GroupResource]*input
	kinds  []*api.Resource
	seen   map[types.UID]sighting
}

type input struct {
	decl  Input
	cache client.Cache
	stop  context.CancelFunc
}

// sighting is when a version of an object was first seen.
type sighting struct {
	version string
	at      time.Time
	of      func(api.Object) string
}

func newInputs(r *runner) *inputs {
	in := &inputs{r: r, opened: map[schema.GroupResource]*input{}, seen: map[types.UID]sighting{}}
	for i, decl := range r.c.Inputs() {
		if i == 0 {
			in.primary = inputName(decl)
		}
		in.every = in.every || decl.Every
		if decl.Dependents {
			in.owned = newDependents()
		}
	}
	return in
}

// open makes a consistent read of every input, then starts to follow them; their objects are queued already when it returns.
func (in *inputs) open(ctx context.Context, g *errgroup.Group) error {
	var every *Input
	var wanted []Input
	for _, decl := range in.r.c.Inputs() {
		if decl.Every {
			every = &decl
			continue
		}
		wanted = append(wanted, decl)
	}
	catalogue := in.r.client.Catalogue()
	if every != nil {
		wanted = append(wanted, every.expand(catalogue, wanted)...)
	}
	if err := in.add(ctx, g, catalogue, wanted); err != nil {
		return err
	}
	if every != nil {
		g.Go(func() error { return in.followCatalogue(ctx, g, *every) })
	}
	return nil
}

// expand returns an input for every kind of the catalogue that is not declared by itself.
func (in Input) expand(c *api.Catalogue, declared []Input) []Input {
	var all []Input
	for _, res := range c.Resources() {
		gr := res.GroupResource()
		own := slices.ContainsFunc(declared, func(d Input) bool { return d.Resource == gr })
		if own || res.StoredAs.Resource != "" || slices.Contains(in.Except, gr) ||
			!slices.Contains(res.Verbs, "list") || !slices.Contains(res.Verbs, "watch") {
			continue
		}
		one := in
		one.Resource = gr
		all = append(all, one)
	}
	return all
}

// add opens the inputs: caches, consistent reads of all at once, then streams.
func (in *inputs) add(ctx context.Context, g *errgroup.Group, catalogue *api.Catalogue, wanted []Input) error {
	made := make([]*input, len(wanted))
	var sync errgroup.Group
	for i, decl := range wanted {
		cache, err := in.r.client.Cache(decl.selection())
		if err != nil {
			return fmt.Errorf("opening a cache of %s: %w", decl.Resource, err)
		}
		made[i] = &input{decl: decl, cache: cache}
		sync.Go(func() error {
			return in.r.retry(ctx, "reading "+decl.Resource.String(), func() error { return cache.Sync(ctx) })
		})
	}
	if err := sync.Wait(); err != nil {
		return err
	}
	in.mu.Lock()
	for _, one := range made {
		in.opened[one.decl.Resource] = one
	}
	in.describe(catalogue)
	in.mu.Unlock()
	for _, one := range made {
		snapshot, stream := one.cache.Follow()
		followCtx, stop := context.WithCancel(ctx)
		one.stop = stop
		in.begin(one, snapshot)
		g.Go(func() error {
			defer stop()
			defer stream.Close()
			return in.follow(followCtx, one, stream)
		})
	}
	return nil
}

// describe refreshes kinds. The caller holds mu.
func (in *inputs) describe(catalogue *api.Catalogue) {
	in.kinds = nil
	for _, res := range catalogue.Resources() {
		if _, ok := in.opened[res.GroupResource()]; ok {
			in.kinds = append(in.kinds, res)
		}
	}
}

// begin queues what the first snapshot holds.
func (in *inputs) begin(one *input, snapshot client.Snapshot) {
	var events []client.Event
	for obj := range snapshot.All("") {
		events = append(events, client.Event{Type: client.Added, Object: obj})
	}
	in.handle(one, events)
}

func (in *inputs) follow(ctx context.Context, one *input, stream client.Stream) error {
	for {
		events, err := stream.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("following %s: %w", one.decl.Resource, err)
		}
		in.handle(one, events)
	}
}

// handle queues the keys that the events concern.
func (in *inputs) handle(one *input, events []client.Event) {
	if one.decl.SeenAs != nil {
		in.sight(one.decl.SeenAs, events)
	}
	if in.owned != nil {
		in.owned.note(one.decl.Resource, events)
	}
	if one.decl.Keys != nil {
		v := in.view(nil, nil)
		for _, ev := range events {
			if ev.Type == client.Modified {
				if one.decl.Relevant != nil && !one.decl.Relevant(ev.Old, ev.Object) {
					continue
				}
				in.r.enqueue(in.keys(one, v, ev.Old)...)
			}
			in.r.enqueue(in.keys(one, v, ev.Object)...)
		}
	}
	in.r.unpark(one.decl.Resource)
}

func (in *inputs) keys(one *input, v View, obj api.Object) []Key {
	keys := one.decl.Keys(v, obj)
	if one.decl.Every {
		for i := range keys {
			if keys[i].Resource.Resource == "" {
				keys[i].Resource = one.decl.Resource
			}
		}
	}
	return keys
}

func (in *inputs) sight(of func(api.Object) string, events []client.Event) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.r.cfg.Clock.Now()
	for _, ev := range events {
		uid, version := ev.Object.GetUID(), of(ev.Object)
		old, known := in.seen[uid]
		switch {
		case ev.Type == client.Deleted:
			delete(in.seen, uid)
		case !known || old.version != version:
			in.seen[uid] = sighting{version: version, at: now, of: of}
		}
	}
}

// sighted tells when this version was first seen. A view may be newer than what follow has handled.
func (in *inputs) sighted(obj api.Object) (time.Time, bool) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	s, ok := in.seen[obj.GetUID()]
	return s.at, ok && s.version == s.of(obj)
}

func (in *inputs) cache(gr schema.GroupResource) (client.Cache, bool) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	one, ok := in.opened[gr]
	if !ok {
		return nil, false
	}
	return one.cache, true
}

func (in *inputs) snapshot(gr schema.GroupResource) (client.Snapshot, bool) {
	cache, ok := in.cache(gr)
	if !ok {
		return nil, false
	}
	return cache.Snapshot(), true
}

func (in *inputs) view(last map[Key]Outcome, answers map[CallID]Answer) *StaticView {
	in.mu.RLock()
	kinds := in.kinds
	in.mu.RUnlock()
	c := ViewConfig{
		Now: in.r.cfg.Clock.Now(), Snapshot: in.snapshot, Every: in.every, Kinds: kinds, Seen: in.sighted,
		Last: last, Answers: answers,
	}
	if in.owned != nil {
		c.Dependents = in.owned.of
	}
	return NewView(c)
}

// followCatalogue opens and closes inputs as custom resource definitions come and go. The server serves a new kind shortly
// after its definition says so, which no event tells; so the catalogue is looked at again a few times after each change.
func (in *inputs) followCatalogue(ctx context.Context, g *errgroup.Group, every Input) error {
	cache, err := in.r.client.Cache(client.Selection{Resource: kinds.CustomResourceDefinitions(), MetadataOnly: true})
	if err != nil {
		in.r.log.Debug("no custom resource definitions here", "err", err)
		return nil
	}
	_, stream := cache.Follow()
	defer stream.Close()
	for {
		if err := in.refresh(ctx, g, every); err != nil && ctx.Err() == nil {
			in.r.log.Warn("reading the kinds that are served failed", "err", err)
		}
		if _, err := stream.Next(ctx); err != nil {
			return nil //nolint:nilerr // only the end of ctx breaks a stream
		}
		for _, delay := range []time.Duration{0, time.Second, 5 * time.Second} {
			timer := in.r.cfg.Clock.NewTimer(delay)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C():
			}
			if err := in.refresh(ctx, g, every); err != nil && ctx.Err() == nil {
				in.r.log.Warn("reading the kinds that are served failed", "err", err)
			}
		}
	}
}

// refresh makes the opened inputs agree with the client's catalogue.
func (in *inputs) refresh(ctx context.Context, g *errgroup.Group, every Input) error {
	catalogue := in.r.client.Catalogue()
	served := map[schema.GroupResource]bool{}
	var declared, fresh []Input
	for _, decl := range in.r.c.Inputs() {
		if !decl.Every {
			declared = append(declared, decl)
		}
	}
	in.mu.Lock()
	for _, decl := range every.expand(catalogue, declared) {
		served[decl.Resource] = true
		if _, ok := in.opened[decl.Resource]; !ok {
			fresh = append(fresh, decl)
		}
	}
	for gr, one := range in.opened {
		if one.decl.Every && !served[gr] {
			one.stop()
			delete(in.opened, gr)
		}
	}
	in.describe(catalogue)
	in.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	return in.add(ctx, g, catalogue, fresh)
}
