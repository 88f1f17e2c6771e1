package store

import (
	"context"
	"time"
)

// compactLoop forgets old history, one interval after it was made. The servers that share an etcd take turns by the version
// of one key: who moves it on first compacts in this interval, the others learn from it. Behaviour, key and value follow
// k8s.io/apiserver's etcd3 compactor, so that its servers and ours take turns too.
func (s *Etcd) compactLoop(ctx context.Context) error {
	tick := s.options.Clock.NewTicker(s.options.CompactInterval)
	defer tick.Stop()
	var last turn
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C():
		}
		next, err := s.compactTurn(ctx, last)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.log.Warn("compaction failed", "error", err)
			continue
		}
		last = next
	}
}

// compactTurn takes part in one round. last is the state of the turn key a round ago, with etcd's revision then.
func (s *Etcd) compactTurn(ctx context.Context, last turn) (turn, error) {
	limited, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	next, err := s.backend.takeTurn(limited, last.version, last.revision)
	if err != nil {
		return last, err
	}
	s.learnCompacted(next.compacted)
	if !next.won || last.revision == 0 {
		return next, nil
	}
	if err := s.backend.compact(limited, last.revision); err != nil {
		return next, err
	}
	s.learnCompacted(last.revision)
	s.log.Debug("compacted", "revision", last.revision)
	return next, nil
}

// learnCompacted notes that states before the revision are gone.
func (s *Etcd) learnCompacted(revision int64) {
	for {
		known := s.compacted.Load()
		if revision <= known {
			return
		}
		if s.compacted.CompareAndSwap(known, revision) {
			break
		}
	}
	s.image.forgetPast(revision - 1)
}
