package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Commit implements Store.
func (s *Etcd) Commit(ctx context.Context, ops ...Op) (int64, error) {
	if err := checkOps(s.options.Prefix, ops); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("writing %s: %w", ops[0].Key, err)
	}
	result, err := s.transact(ctx, ops)
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", ops[0].Key, err)
	}
	if !result.done {
		failed := firstFailed(ops, result.found)
		// The caller will look at what was in its way before it tries again: let the image show it. That the write did
		// not happen stays true when the image cannot.
		if err := s.image.reach(ctx, result.revision, true); err != nil {
			s.log.Debug("image does not show what a write ran into", "key", failed.Op.Key, "error", err)
		}
		return 0, failed
	}
	if err := s.image.reach(ctx, result.revision, !changes(ops)); err != nil {
		return result.revision, fmt.Errorf("%w: written, but not seen: %w", ErrAmbiguous, err)
	}
	return result.revision, nil
}

// transact gives the steps their leases and runs them.
func (s *Etcd) transact(ctx context.Context, ops []Op) (outcome, error) {
	steps := make([]step, len(ops))
	for attempt := 0; ; attempt++ {
		for i, op := range ops {
			steps[i] = step{Op: op}
			if op.TTL == 0 || op.Kind == OpDelete || op.Kind == OpCheck {
				continue
			}
			lease, err := s.leases.take(ctx, op.TTL)
			if err != nil {
				return outcome{}, fmt.Errorf("taking a lease of %d s: %w", op.TTL, err)
			}
			steps[i].lease = lease
		}
		result, err := s.backend.txn(ctx, steps)
		if attempt > 0 || !errors.Is(err, errLeaseGone) {
			return result, err
		}
		// The lease ended before its time, as after a restore: nothing was written, other leases are needed.
		s.leases.forget(steps)
	}
}

// checkOps refuses what no transaction can be.
func checkOps(prefix string, ops []Op) error {
	if len(ops) == 0 {
		return errors.New("commit: no steps")
	}
	for i, op := range ops {
		switch {
		case !strings.HasPrefix(op.Key, prefix):
			return fmt.Errorf("commit: step %d: key %q is not under %s", i, op.Key, prefix)
		case op.Kind < OpCreate || op.Kind > OpCheck:
			return fmt.Errorf("commit: step %d: unknown kind %d", i, op.Kind)
		case op.TTL < 0:
			return fmt.Errorf("commit: step %d: negative TTL %d", i, op.TTL)
		}
	}
	return nil
}

// changes says whether a transaction that succeeded has certainly changed a key.
func changes(ops []Op) bool {
	for _, op := range ops {
		switch op.Kind {
		case OpCreate, OpUpdate, OpPut:
			return true
		case OpDelete:
			if op.Expect != 0 {
				return true
			}
		case OpCheck:
		}
	}
	return false
}

// firstFailed returns the first step whose precondition does not hold for the revisions found, 0 meaning absent.
func firstFailed(ops []Op, found []int64) *OpError {
	for i, op := range ops {
		if err := precondition(op, found[i]); err != nil {
			return &OpError{Index: i, Op: op, Err: err}
		}
	}
	// The comparisons failed at the same revision at which the keys were read, so one of them shows it.
	return &OpError{Index: 0, Op: ops[0], Err: ErrConflict}
}

// precondition returns what forbids a step when its key is at a revision.
func precondition(op Op, revision int64) error {
	switch op.Kind {
	case OpCreate:
		if revision != 0 {
			return ErrExists
		}
	case OpUpdate:
		return expect(op.Expect, revision)
	case OpDelete:
		if op.Expect != 0 {
			return expect(op.Expect, revision)
		}
	case OpCheck:
		if op.Expect != 0 {
			return expect(op.Expect, revision)
		}
		if revision != 0 {
			return ErrExists
		}
	case OpPut:
	}
	return nil
}

func expect(expected, revision int64) error {
	switch {
	case revision == 0:
		return ErrNotFound
	case expected != 0 && expected != revision:
		return ErrConflict
	}
	return nil
}
