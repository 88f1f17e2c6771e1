package storetest

import (
	"context"
	"testing"
	"time"

	"coracle.dev/coracle/internal/store"
)

// Open returns a running store with an empty embedded etcd that is stopped and removed when the test ends.
func Open(tb testing.TB) store.Store {
	tb.Helper()
	return OpenWith(tb, store.Options{SoleWriter: true})
}

// OpenWith is Open with options; an empty DataDir is filled in.
func OpenWith(tb testing.TB, options store.Options) *store.Etcd {
	tb.Helper()
	if options.DataDir == "" && len(options.Endpoints) == 0 {
		options.DataDir = tb.TempDir()
	}
	if options.Heartbeat == 0 {
		options.Heartbeat = 5 * time.Millisecond // a quick start matters more here than idle wake-ups
	}
	s, err := store.Open(tb.Context(), options)
	if err != nil {
		tb.Fatalf("opening a store: %v", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Errorf("running the store: %v", err)
		}
		if err := s.Close(); err != nil {
			tb.Errorf("closing the store: %v", err)
		}
	})
	return s
}
