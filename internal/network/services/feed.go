package services

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Feed tells which services changed. One reader at a time; its caches are shared with other feeds of the client.
type Feed struct {
	services client.Cache
	slices   client.Cache

	mu      sync.Mutex
	dirty   map[string]bool
	changed chan struct{}
}

// NewFeed prepares a feed.
func NewFeed(c client.Interface) (*Feed, error) {
	f := &Feed{dirty: map[string]bool{}, changed: make(chan struct{}, 1)}
	var err error
	if f.services, err = c.Cache(client.Selection{Resource: kinds.Services()}); err != nil {
		return nil, fmt.Errorf("watching services: %w", err)
	}
	slices := kinds.EndpointSlices()
	if f.slices, err = c.Cache(client.Selection{Resource: slices}); err != nil {
		return nil, fmt.Errorf("watching endpoint slices: %w", err)
	}
	return f, nil
}

// Start follows the caches until ctx ends, and returns when they are as new as the cluster was at the call. Every service of that
// moment then counts as changed.
func (f *Feed) Start(ctx context.Context) error {
	for _, c := range []client.Cache{f.services, f.slices} {
		_, stream := c.Follow()
		go f.follow(ctx, stream)
	}
	for _, c := range []client.Cache{f.services, f.slices} {
		if err := c.Sync(ctx); err != nil {
			return fmt.Errorf("reading services: %w", err)
		}
	}
	f.Touch()
	return nil
}

// Touch makes every service count as changed.
func (f *Feed) Touch() {
	f.mark(func() {
		for obj := range f.services.Snapshot().All("") {
			f.dirty[obj.GetNamespace()+"/"+obj.GetName()] = true
		}
	})
}

// Changed receives a value when Take has something new.
func (f *Feed) Changed() <-chan struct{} { return f.changed }

// Take returns the services ("namespace/name") that changed since the last call, and forgets them.
func (f *Feed) Take() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.dirty
	f.dirty = map[string]bool{}
	return taken
}

// Read returns a service, nil when it is gone, and its slices. Both are shared and must not be changed.
func (f *Feed) Read(key string) (*corev1.Service, []*discoveryv1.EndpointSlice) {
	namespace, name, ok := strings.Cut(key, "/")
	if !ok {
		return nil, nil
	}
	obj, ok := f.services.Snapshot().Get(namespace, name)
	if !ok {
		return nil, nil
	}
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	var out []*discoveryv1.EndpointSlice
	for obj := range f.slices.Snapshot().Index(api.IndexService, key) {
		if s, ok := obj.(*discoveryv1.EndpointSlice); ok {
			out = append(out, s)
		}
	}
	return svc, out
}

// follow notes which services events concern. What happens while the reader works is taken by its next look, so that bursts are
// merged without anyone waiting for a timer.
func (f *Feed) follow(ctx context.Context, stream client.Stream) {
	defer stream.Close()
	for {
		events, err := stream.Next(ctx)
		if err != nil {
			return // ctx ended: streams do not break otherwise
		}
		f.mark(func() {
			for _, e := range events {
				f.note(e)
			}
		})
	}
}

func (f *Feed) note(e client.Event) {
	switch obj := e.Object.(type) {
	case *corev1.Service:
		f.dirty[obj.Namespace+"/"+obj.Name] = true
	case *discoveryv1.EndpointSlice:
		f.dirty[Of(obj)] = true
		if old, ok := e.Old.(*discoveryv1.EndpointSlice); ok {
			f.dirty[Of(old)] = true
		}
	}
}

func (f *Feed) mark(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Of returns the service ("namespace/name") that a slice belongs to.
func Of(s *discoveryv1.EndpointSlice) string {
	return s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
}
