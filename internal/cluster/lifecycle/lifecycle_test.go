package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"coracle.dev/coracle/internal/cluster/lifecycle"
)

func TestStopsInReverseOrder(t *testing.T) {
	s := lifecycle.New(slog.New(slog.DiscardHandler))
	var mu sync.Mutex
	var ended []string
	part := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, name)
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, name := range []string{"store", "server", "agent"} {
		s.Start(ctx, name, part(name))
	}
	cancel()
	if err := s.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 0 {
		t.Fatalf("%v ended before their turn", ended)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"agent", "server", "store"}; !slices.Equal(ended, want) {
		t.Fatalf("ended %v, want %v", ended, want)
	}
}

func TestAPartThatEndsEndsAll(t *testing.T) {
	s := lifecycle.New(slog.New(slog.DiscardHandler))
	broken := errors.New("disk full")
	s.Start(t.Context(), "store", func(context.Context) error { return broken })
	s.Start(t.Context(), "server", func(ctx context.Context) error { <-ctx.Done(); return nil })
	within, cancel := s.Within(t.Context())
	defer cancel()
	<-within.Done()
	err := s.Wait(t.Context())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "store") {
		t.Fatalf("got %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}
