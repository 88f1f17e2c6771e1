package store

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// Metrics is told what the store does, as it happens. Safe for concurrent use.
type Metrics interface {
	// EtcdRequest: a request of the kind (list, revision, txn, grant, compact) took so long; err is nil when it succeeded.
	EtcdRequest(kind string, took time.Duration, err error)
}

type noMetrics struct{}

func (noMetrics) EtcdRequest(string, time.Duration, error) {}

// Stats are counts at one moment.
type Stats struct {
	// Objects counts keys by collection prefix; those of no collection under the root.
	Objects map[string]int
	// Streams counts open streams.
	Streams int
	// HistoryBytes and EncodedBytes are what the history window and the kept encodings take, about.
	HistoryBytes int
	EncodedBytes int
}

// Stats counts what the store holds.
func (s *Etcd) Stats() Stats {
	stats := Stats{Objects: map[string]int{}, Streams: int(s.streams.Load())}
	m := s.image
	m.mu.Lock()
	stats.Objects[m.rest.prefix] = m.rest.table.items.len()
	for _, f := range m.folders {
		stats.Objects[f.prefix] = f.table.items.len()
	}
	stats.HistoryBytes = m.bytes
	m.mu.Unlock()
	s.encodings.mu.Lock()
	stats.EncodedBytes = s.encodings.size
	s.encodings.mu.Unlock()
	return stats
}

// measured is a backend that tells how long its requests took.
type measured struct {
	backend
	metrics Metrics
	clock   clock.PassiveClock
}

func (m measured) tell(kind string, start time.Time, err *error) {
	m.metrics.EtcdRequest(kind, m.clock.Since(start), *err)
}

func (m measured) list(ctx context.Context, from, end string, revision, limit int64) (p page, err error) {
	defer m.tell("list", m.clock.Now(), &err)
	return m.backend.list(ctx, from, end, revision, limit)
}

func (m measured) revision(ctx context.Context) (revision int64, err error) {
	defer m.tell("revision", m.clock.Now(), &err)
	return m.backend.revision(ctx)
}

func (m measured) txn(ctx context.Context, steps []step) (result outcome, err error) {
	defer m.tell("txn", m.clock.Now(), &err)
	return m.backend.txn(ctx, steps)
}

func (m measured) grant(ctx context.Context, ttl int64) (id int64, err error) {
	defer m.tell("grant", m.clock.Now(), &err)
	return m.backend.grant(ctx, ttl)
}

func (m measured) compact(ctx context.Context, revision int64) (err error) {
	defer m.tell("compact", m.clock.Now(), &err)
	return m.backend.compact(ctx, revision)
}
