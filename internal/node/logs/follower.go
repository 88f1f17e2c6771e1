package logs

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Follower tells readers that something changed in the folder of their log. Safe for concurrent use.
type Follower struct {
	logger *slog.Logger

	mu       sync.Mutex
	watcher  *fsnotify.Watcher
	closed   bool
	watching map[string]map[chan struct{}]bool // folder → readers
}

// NewFollower returns a follower that watches nothing yet.
func NewFollower(logger *slog.Logger) *Follower {
	return &Follower{logger: logger, watching: map[string]map[chan struct{}]bool{}}
}

// Run gives up all watches when ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.watcher != nil {
		return f.watcher.Close()
	}
	return nil
}

// Watch returns a channel that gets a value after a change in the folder of path, and a function that ends the watch.
func (f *Follower) Watch(path string) (<-chan struct{}, func(), error) {
	dir := filepath.Dir(path)
	ch := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watcher == nil {
		if f.closed {
			return nil, nil, context.Canceled
		}
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, nil, fmt.Errorf("watching logs: %w", err)
		}
		f.watcher = w
		go f.dispatch(w)
	}
	if len(f.watching[dir]) == 0 {
		if err := f.watcher.Add(dir); err != nil {
			return nil, nil, fmt.Errorf("watching %s: %w", dir, err)
		}
		f.watching[dir] = map[chan struct{}]bool{}
	}
	f.watching[dir][ch] = true
	return ch, func() { f.leave(dir, ch) }, nil
}

func (f *Follower) leave(dir string, ch chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watching[dir], ch)
	if len(f.watching[dir]) > 0 {
		return
	}
	delete(f.watching, dir)
	// The folder may be gone already, and its watch with it.
	if err := f.watcher.Remove(dir); err != nil {
		f.logger.Debug("ending a watch", "folder", dir, "err", err)
	}
}

func (f *Follower) dispatch(w *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			f.wake(filepath.Dir(e.Name))
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			f.logger.Warn("watching logs", "err", err)
			f.wakeAll()
		}
	}
}

func (f *Follower) wake(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.watching[dir] {
		notify(ch)
	}
}

// wakeAll is for when events were lost.
func (f *Follower) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, readers := range f.watching {
		for ch := range readers {
			notify(ch)
		}
	}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
