package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errLeaseGone: a write named a lease that etcd no longer has. Nothing was written.
var errLeaseGone = errors.New("lease gone")

const (
	// leaseRound is how much longer than asked a lease may last, in seconds, so that keys written within that time share it.
	leaseRound = 60
	// leaseKeys bounds the keys of one lease: etcd deletes them all in one transaction when it ends.
	leaseKeys = 1000
)

// leases shares etcd's leases between keys: one per TTL and minute, about. A key lives at least its TTL and at most a
// minute longer.
type leases struct {
	grant func(ctx context.Context, ttl int64) (int64, error)
	now   func() time.Time

	mu    sync.Mutex
	byTTL map[int64]*sharedLease
}

// sharedLease is the newest lease for one TTL. Its mutex makes one caller grant it while others wait.
type sharedLease struct {
	mu   sync.Mutex
	id   int64
	ends time.Time
	keys int
}

func newLeases(grant func(context.Context, int64) (int64, error), now func() time.Time) *leases {
	return &leases{grant: grant, now: now, byTTL: map[int64]*sharedLease{}}
}

// take returns a lease that lasts at least ttl seconds from now, for one more key.
func (l *leases) take(ctx context.Context, ttl int64) (int64, error) {
	l.mu.Lock()
	shared := l.byTTL[ttl]
	if shared == nil {
		l.expire()
		shared = &sharedLease{}
		l.byTTL[ttl] = shared
	}
	l.mu.Unlock()

	shared.mu.Lock()
	defer shared.mu.Unlock()
	now := l.now()
	if shared.id != 0 && shared.keys < leaseKeys && !shared.ends.Before(now.Add(time.Duration(ttl)*time.Second)) {
		shared.keys++
		return shared.id, nil
	}
	length := ttl + leaseRound
	id, err := l.grant(ctx, length)
	if err != nil {
		return 0, err
	}
	// Counted from before the grant: the lease cannot end earlier than that.
	shared.id, shared.ends, shared.keys = id, now.Add(time.Duration(length)*time.Second), 1
	return id, nil
}

// expire drops what can no longer be used. Callers hold mu.
func (l *leases) expire() {
	now := l.now()
	for ttl, shared := range l.byTTL {
		if shared.mu.TryLock() {
			if shared.id != 0 && shared.ends.Before(now) {
				delete(l.byTTL, ttl)
			}
			shared.mu.Unlock()
		}
	}
}

// forget drops the leases of the steps.
func (l *leases) forget(steps []step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, st := range steps {
		if shared := l.byTTL[st.TTL]; shared != nil && st.lease != 0 {
			shared.mu.Lock()
			if shared.id == st.lease {
				shared.id = 0
			}
			shared.mu.Unlock()
		}
	}
}
