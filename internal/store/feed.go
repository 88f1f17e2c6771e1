package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// progressGrace is how long an event is waited for before the backend is asked for progress, and how often it is asked.
	progressGrace = 5 * time.Millisecond
	progressEvery = 100 * time.Millisecond
	// rewatchFirst and rewatchMost bound the pause before a broken watch is made again; it doubles from one to the other.
	rewatchFirst = 20 * time.Millisecond
	rewatchMost  = 2 * time.Second

	pageKeys = 1000
	// replayRevisions is how far back a start reaches for those who followed before it.
	replayRevisions = 1000
)

// scan reads all keys with the prefix at one revision, page by page, and returns that revision. Revision 0 is the newest.
func scan(ctx context.Context, b backend, prefix string, revision int64, add func([]keyValue)) (int64, error) {
	end, _ := prefixEnd(prefix)
	from := prefix
	for {
		p, err := b.list(ctx, from, end, revision, pageKeys)
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = p.revision
		}
		add(p.items)
		if !p.more || len(p.items) == 0 {
			return revision, nil
		}
		from = p.items[len(p.items)-1].key + "\x00"
	}
}

// load fills the empty image. It starts from a state somewhat in the past when etcd still has it and replays the changes since,
// so that watchers can go on where they were before a restart.
func (s *Etcd) load(ctx context.Context) error {
	p, err := s.backend.list(ctx, turnKey, turnKey+"\x00", 0, 1)
	if err != nil {
		return fmt.Errorf("reading etcd's revision: %w", err)
	}
	if len(p.items) > 0 {
		s.learnCompacted(parseTurn(p.items[0].value))
	}
	newest := p.revision
	start := newest - min(replayRevisions, int64(s.options.HistoryEvents))
	err = s.seed(ctx, min(max(start, s.Compacted()+1), newest))
	if errors.Is(err, ErrCompacted) {
		err = s.seed(ctx, 0)
	}
	if err != nil {
		return fmt.Errorf("loading the image: %w", err)
	}
	return s.catchUp(ctx, newest)
}

func (s *Etcd) seed(ctx context.Context, revision int64) error {
	var items []keyValue
	at, err := scan(ctx, s.backend, s.options.Prefix, revision, func(kvs []keyValue) { items = append(items, kvs...) })
	if err != nil {
		return err
	}
	s.image.seed(items, at)
	return nil
}

// catchUp replays changes until the image has reached the revision.
func (s *Etcd) catchUp(ctx context.Context, revision int64) error {
	if s.image.revision() >= revision {
		return nil
	}
	w := s.backend.watch(ctx, s.options.Prefix, s.image.revision())
	defer w.close()
	for s.image.revision() < revision {
		// The last changes may be outside the prefix: ask how far the watch is, in case nothing more comes.
		if err := w.progress(ctx); err != nil {
			return fmt.Errorf("replaying changes: %w", err)
		}
		step, stop := context.WithTimeout(ctx, progressEvery)
		b, err := w.next(step)
		late := step.Err() != nil && ctx.Err() == nil
		stop()
		switch {
		case err == nil:
			s.image.apply(b)
		case !late:
			return fmt.Errorf("replaying changes: %w", err)
		}
	}
	return nil
}

// feed keeps the image fed until ctx ends, whatever happens to the watch.
func (s *Etcd) feed(ctx context.Context) error {
	pause := rewatchFirst
	for {
		before := s.image.revision()
		err := s.pump(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.image.revision() > before {
			pause = rewatchFirst
		}
		if errors.Is(err, ErrCompacted) {
			s.log.Warn("watch is behind etcd's history, reading everything again", "revision", s.image.revision(), "error", err)
			err = s.reload(ctx)
			if err == nil {
				continue
			}
		}
		s.log.Warn("watch broke", "revision", s.image.revision(), "pause", pause, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.backend.failed():
			return errors.New("etcd stopped")
		case <-s.options.Clock.After(pause):
		}
		pause = min(2*pause, rewatchMost)
	}
}

// pump feeds the image from one watch until that breaks.
func (s *Etcd) pump(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := s.backend.watch(ctx, s.options.Prefix, s.image.revision())
	defer w.close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		s.askProgress(ctx, w)
	}()
	defer func() { stop(); <-asked }()
	for {
		b, err := w.next(ctx)
		if err != nil {
			return err
		}
		s.image.apply(b)
	}
}

// askProgress asks the watch for progress while someone waits for a revision that may bring no change.
func (s *Etcd) askProgress(ctx context.Context, w watch) {
	// Who came to wait during an earlier watch waits still.
	for first := true; ; first = false {
		if !first || s.image.hungry.Load() == 0 {
			select {
			case <-s.image.wanted:
			case <-ctx.Done():
				return
			}
		}
		pause := progressGrace
		for s.image.hungry.Load() > 0 {
			select {
			case <-s.options.Clock.After(pause):
			case <-ctx.Done():
				return
			}
			if err := w.progress(ctx); err != nil {
				s.log.Debug("cannot ask the watch for progress", "error", err)
			}
			pause = progressEvery
		}
	}
}

// reload reads everything again after the watch lost its place.
func (s *Etcd) reload(ctx context.Context) error {
	var items []keyValue
	at, err := scan(ctx, s.backend, s.options.Prefix, 0, func(kvs []keyValue) { items = append(items, kvs...) })
	if err != nil {
		return fmt.Errorf("reading everything again: %w", err)
	}
	if at < s.image.revision() {
		return fmt.Errorf("etcd is at revision %d, behind %d which it had before: was it restored?", at, s.image.revision())
	}
	s.image.reload(items, at)
	return nil
}
