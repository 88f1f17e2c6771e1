package reconcile

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
)

// queue hands out keys, each to one worker at a time. A key added while a worker has it comes again afterwards. Each key has
// at most one timer, which counts from the key's last run. Safe for concurrent use.
type queue struct {
	clock clock.WithDelayedExecution

	mu      sync.Mutex
	fifo    []Key
	entries map[Key]*entry
	wake    chan struct{} // holds a token while fifo may be non-empty
	closed  bool
}

// entry is what the queue and the runner know about one key. The fields after the blank line belong to the worker that has
// the key, the others to queue.mu.
type entry struct {
	queued, running, dirty bool
	since                  time.Time // when it was queued
	timer                  clock.Timer
	due                    time.Time // when timer fires
	waiting                bool      // a goroutine waits for the key's debts
	synced                 []schema.GroupResource
	calling                bool // its calls are under way
	arrived                map[CallID]Answer

	failures int
	ledger   Ledger
	last     Outcome
	answers  map[CallID]Answer
}

func newQueue(c clock.WithDelayedExecution) *queue {
	return &queue{clock: c, entries: map[Key]*entry{}, wake: make(chan struct{}, 1)}
}

func (q *queue) entry(key Key) *entry {
	e, ok := q.entries[key]
	if !ok {
		e = &entry{}
		q.entries[key] = e
	}
	return e
}

// add queues the keys unless they are queued already. It returns how many were new.
func (q *queue) add(keys ...Key) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, key := range keys {
		if q.push(key) {
			n++
		}
	}
	return n
}

func (q *queue) push(key Key) bool {
	e := q.entry(key)
	switch {
	case q.closed || e.queued || e.dirty:
		return false
	case e.running:
		e.dirty = true
		return true
	}
	e.queued = true
	e.since = q.clock.Now()
	q.fifo = append(q.fifo, key)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// addAfter queues the key after d, or earlier when a timer for earlier is already set.
func (q *queue) addAfter(key Key, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	e := q.entry(key)
	due := q.clock.Now().Add(d)
	if e.timer != nil && !due.Before(e.due) {
		return
	}
	e.stopTimer()
	e.due = due
	e.timer = q.clock.AfterFunc(d, func() { q.add(key) })
}

func (e *entry) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// get waits for a key. The caller has it until done. ok is false when ctx has ended.
func (q *queue) get(ctx context.Context) (key Key, e *entry, ok bool) {
	for {
		if ctx.Err() != nil {
			return Key{}, nil, false
		}
		q.mu.Lock()
		if len(q.fifo) > 0 {
			key, q.fifo = q.fifo[0], q.fifo[1:]
			e = q.entries[key]
			e.queued, e.running = false, true
			e.stopTimer()
			if len(q.fifo) > 0 {
				q.signal()
			}
			q.mu.Unlock()
			return key, e, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-q.wake:
		}
	}
}

// done gives a key back. What is known about it is forgotten when there is nothing to remember.
func (q *queue) done(key Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.entries[key]
	e.running = false
	if e.dirty {
		e.dirty = false
		q.push(key)
		return
	}
	if e.forgettable() {
		delete(q.entries, key)
	}
}

// forgettable tells whether a new entry would be as good.
func (e *entry) forgettable() bool {
	return e.timer == nil && !e.queued && !e.waiting && !e.calling && e.arrived == nil && e.failures == 0 && e.ledger.Empty() &&
		len(e.last.Results) == 0 && e.answers == nil
}

// startWaiting marks the key as waited for. It returns false when it is already.
func (q *queue) startWaiting(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.waiting {
		return false
	}
	e.waiting = true
	return true
}

// stopWaiting ends startWaiting and queues the key, which learns that these resources have been read consistently.
func (q *queue) stopWaiting(key Key, e *entry, synced []schema.GroupResource) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.waiting = false
	e.synced = append(e.synced, synced...)
	q.push(key)
}

// startCalling keeps the key from running until stopCalling.
func (q *queue) startCalling(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.calling = true
}

// stopCalling leaves the answers and queues the key.
func (q *queue) stopCalling(key Key, e *entry, answers map[CallID]Answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.calling, e.arrived = false, answers
	q.push(key)
}

// collect gives the worker what others left for the key. It returns false while the key may not run.
func (q *queue) collect(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, gr := range e.synced {
		e.ledger.Synced(gr)
	}
	e.synced = nil
	if e.arrived != nil {
		e.answers, e.arrived = e.arrived, nil
	}
	return !e.calling
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.fifo)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, e := range q.entries {
		e.stopTimer()
	}
}
