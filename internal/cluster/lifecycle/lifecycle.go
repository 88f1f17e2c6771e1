package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Stack holds the running parts. Start is called by one goroutine.
type Stack struct {
	log   *slog.Logger
	parts []*part
	// ended tells of the first part that ended by itself.
	ended chan struct{}
	once  sync.Once
	err   error
}

type part struct {
	name string
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// New returns an empty stack.
func New(log *slog.Logger) *Stack { return &Stack{log: log, ended: make(chan struct{})} }

// Start runs a part until Stop, with the values but not the end of ctx: parts end in order, not all at once.
func (s *Stack) Start(ctx context.Context, name string, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{name: name, stop: stop, done: make(chan struct{})}
	s.parts = append(s.parts, p)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended unexpectedly")
			}
			s.once.Do(func() {
				s.err = fmt.Errorf("%s: %w", name, err)
				close(s.ended)
			})
		} else if err != nil && !errors.Is(err, context.Canceled) {
			p.err = fmt.Errorf("stopping %s: %w", name, err)
		}
		close(p.done)
	}()
}

// Wait blocks until ctx ends (nil) or a part ended by itself (its error).
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.ended:
		return s.err
	}
}

// Within returns a context that also ends when a part ends by itself, for work between two starts.
func (s *Stack) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		select {
		case <-s.ended:
			cancel(s.err)
		case <-stopped:
		}
	}()
	var once sync.Once
	return ctx, func() { once.Do(func() { close(stopped) }); cancel(nil) }
}

// Stop ends the parts, the last started first, each after the one before it has ended.
func (s *Stack) Stop() error {
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		p := s.parts[i]
		s.log.Debug("stopping", "part", p.name)
		p.stop()
		<-p.done
		if p.err != nil {
			errs = append(errs, p.err)
		}
	}
	s.parts = nil
	return errors.Join(errs...)
}
