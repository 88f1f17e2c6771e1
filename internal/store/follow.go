package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// batchEvents is how many events Next returns at most, plus the rest of their last revision.
const batchEvents = 1000

// stream implements Stream by remembering a place in the folder's history: a watcher costs this much and a goroutine of its
// reader, no buffer.
type stream struct {
	image  *image
	folder *folder
	prefix string
	closed chan struct{}
	once   sync.Once
	// release tells the store that the stream is closed.
	release func()

	mu       sync.Mutex
	number   uint64 // of the next event to look at
	progress int64
}

func (s *stream) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.release()
	})
}

func (s *stream) Next(ctx context.Context) ([]Event, error) {
	for {
		events, changed, err := s.take()
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.closed:
			return nil, fmt.Errorf("following %s: %w", s.prefix, ErrClosed)
		case <-s.image.stopped:
			return nil, fmt.Errorf("following %s: %w", s.prefix, ErrClosed)
		}
	}
}

// take returns the next events that concern the reader, or what to wait for.
func (s *stream) take() ([]Event, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		st, now := s.image.newest(s.folder)
		events, here := st.history.from(s.number)
		if !here {
			return nil, nil, s.tooSlow()
		}
		if len(events) == 0 {
			s.progress = max(s.progress, now.revision)
			return nil, st.changed, nil
		}
		n := cutAt(events)
		if s.number += uint64(n); n == len(events) {
			s.progress = max(s.progress, now.revision)
		} else {
			s.progress = max(s.progress, events[n-1].Revision)
		}
		if mine := s.mine(events[:n:n]); len(mine) > 0 {
			return mine, nil, nil
		}
	}
}

func (s *stream) tooSlow() error {
	return fmt.Errorf("following %s after revision %d: fell behind the history window: %w", s.prefix, s.progress, ErrCompacted)
}

// cutAt returns how many of the events make one batch: a revision is not split.
func cutAt(events []Event) int {
	n := min(len(events), batchEvents)
	for n < len(events) && events[n].Revision == events[n-1].Revision {
		n++
	}
	return n
}

// mine returns the events with the stream's prefix, without copying when that is all of them.
func (s *stream) mine(events []Event) []Event {
	if s.prefix == s.folder.prefix {
		return events
	}
	var mine []Event
	for i := range events {
		if strings.HasPrefix(events[i].Entry.Key, s.prefix) {
			mine = append(mine, events[i])
		}
	}
	return mine
}

func (s *stream) Progress() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, now := s.image.newest(s.folder)
	events, here := st.history.from(s.number)
	if !here {
		return s.progress
	}
	for i := range events {
		if strings.HasPrefix(events[i].Entry.Key, s.prefix) {
			return s.progress
		}
		s.number++
		s.progress = max(s.progress, events[i].Revision-1)
	}
	s.progress = max(s.progress, now.revision)
	return s.progress
}
