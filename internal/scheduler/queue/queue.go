package queue

import (
	"container/heap"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/scheduler/core"
)

// Upstream's defaults.
const (
	// FirstBackoff doubles with every attempt up to LongestBackoff.
	FirstBackoff   = time.Second
	LongestBackoff = 10 * time.Second
	// ParkedAtMost is how long a pod is parked before it is tried again whatever has happened: a guard against events that
	// were judged wrongly.
	ParkedAtMost = 5 * time.Minute
)

// Item is a pod in the queue.
type Item struct {
	Pod *core.Pod
	// Attempts counts how often the pod was handed out.
	Attempts int
	// Since is when the pod first came into the queue.
	Since time.Time

	state    state
	index    int       // in the heap of its state
	until    time.Time // resting: end of the back-off; parked: the time limit
	backoff  time.Time // end of the back-off, also while parked
	rejected map[string]bool
}

type state int

const (
	ready state = iota + 1
	resting
	parked
	out // handed out by Next, waits for Done, Failed or Park
)

// Queue holds the pods that have no node. Not safe for concurrent use.
type Queue struct {
	items   map[types.UID]*Item
	ready   itemHeap
	resting itemHeap
	parked  itemHeap
	// moves counts wakes, so that a pod whose attempt overlapped one is not parked on stale knowledge.
	moves int64
	// triedAt is the value of moves when each pod was handed out.
	triedAt map[types.UID]int64
}

// New returns an empty queue.
func New() *Queue {
	byUntil := func(a, b *Item) bool { return a.until.Before(b.until) }
	return &Queue{
		items:   map[types.UID]*Item{},
		triedAt: map[types.UID]int64{},
		ready:   itemHeap{less: first},
		resting: itemHeap{less: byUntil},
		parked:  itemHeap{less: byUntil},
	}
}

// first orders by priority, then by age in the queue.
func first(a, b *Item) bool {
	if pa, pb := a.Pod.Priority(), b.Pod.Priority(); pa != pb {
		return pa > pb
	}
	if !a.Since.Equal(b.Since) {
		return a.Since.Before(b.Since)
	}
	return a.Pod.UID < b.Pod.UID
}

// Add puts a pod in, or replaces what is known of it; changed says that the change could make it schedulable.
func (q *Queue) Add(pod *core.Pod, changed bool, now time.Time) {
	it, ok := q.items[pod.UID]
	if !ok {
		it = &Item{Pod: pod, Since: now}
		q.items[pod.UID] = it
		q.enter(it, ready)
		return
	}
	it.Pod = pod
	switch {
	case it.state == parked && changed:
		q.wakeOne(it, now)
	case it.state == ready:
		heap.Fix(&q.ready, it.index) // its priority may have changed
	}
}

// Remove takes a pod out, whatever its state.
func (q *Queue) Remove(uid types.UID) {
	it, ok := q.items[uid]
	if !ok {
		return
	}
	q.leave(it)
	delete(q.items, uid)
	delete(q.triedAt, uid)
}

// Next hands out the pod to be tried now. Without one it returns nil and how long to wait at most; 0 means until an event.
func (q *Queue) Next(now time.Time) (*Item, time.Duration) {
	for q.resting.Len() > 0 && !q.resting.items[0].until.After(now) {
		q.enter(q.resting.items[0], ready)
	}
	for q.parked.Len() > 0 && !q.parked.items[0].until.After(now) {
		q.enter(q.parked.items[0], ready)
	}
	if q.ready.Len() > 0 {
		it := q.ready.items[0]
		q.enter(it, out)
		it.Attempts++
		q.triedAt[it.Pod.UID] = q.moves
		return it, 0
	}
	var wait time.Duration
	for _, h := range []*itemHeap{&q.resting, &q.parked} {
		if h.Len() > 0 {
			if d := h.items[0].until.Sub(now); wait == 0 || d < wait {
				wait = d
			}
		}
	}
	return nil, wait
}

// Failed says that an attempt ended in an error (not for lack of a node): the pod rests and is tried again.
func (q *Queue) Failed(uid types.UID, now time.Time) {
	it, ok := q.items[uid]
	if !ok || it.state != out {
		return
	}
	it.backoff = now.Add(backoff(it.Attempts))
	it.until = it.backoff
	q.enter(it, resting)
}

// Park says that no node would do; plugins are those that rejected it. When something happened during the attempt the pod
// only rests, for the attempt may not have seen it.
func (q *Queue) Park(uid types.UID, plugins map[string]bool, now time.Time) {
	it, ok := q.items[uid]
	if !ok || it.state != out {
		return
	}
	it.rejected = plugins
	it.backoff = now.Add(backoff(it.Attempts))
	if q.triedAt[uid] != q.moves {
		it.until = it.backoff
		q.enter(it, resting)
		return
	}
	it.until = now.Add(ParkedAtMost)
	q.enter(it, parked)
}

// Wake tells of an event that could help pods; helps judges by the plugins that had rejected a pod.
func (q *Queue) Wake(helps func(pod *core.Pod, rejectedBy map[string]bool) bool, now time.Time) {
	q.moves++
	var woken []*Item
	for _, it := range q.parked.items {
		if helps(it.Pod, it.rejected) {
			woken = append(woken, it)
		}
	}
	for _, it := range woken {
		q.wakeOne(it, now)
	}
}

// Retry wakes one pod if it is parked.
func (q *Queue) Retry(uid types.UID, now time.Time) {
	if it, ok := q.items[uid]; ok && it.state == parked {
		q.wakeOne(it, now)
	}
}

func (q *Queue) wakeOne(it *Item, now time.Time) {
	if it.backoff.After(now) {
		it.until = it.backoff
		q.enter(it, resting)
		return
	}
	q.enter(it, ready)
}

// Len counts the pods by state, for metrics: ready, resting, parked.
func (q *Queue) Len() (ready, resting, parked int) {
	return q.ready.Len(), q.resting.Len(), q.parked.Len()
}

// Holds tells whether the pod is in the queue, handed out or not.
func (q *Queue) Holds(uid types.UID) bool {
	_, ok := q.items[uid]
	return ok
}

func backoff(attempts int) time.Duration {
	d := FirstBackoff
	for i := 1; i < attempts && d < LongestBackoff; i++ {
		d *= 2
	}
	return min(d, LongestBackoff)
}

func (q *Queue) enter(it *Item, s state) {
	q.leave(it)
	it.state = s
	if h := q.heapOf(s); h != nil {
		heap.Push(h, it)
	}
}

func (q *Queue) leave(it *Item) {
	if h := q.heapOf(it.state); h != nil {
		heap.Remove(h, it.index)
	}
	it.state = 0
}

func (q *Queue) heapOf(s state) *itemHeap {
	switch s {
	case ready:
		return &q.ready
	case resting:
		return &q.resting
	case parked:
		return &q.parked
	default:
		return nil
	}
}

// itemHeap implements heap.Interface.
type itemHeap struct {
	items []*Item
	less  func(a, b *Item) bool
}

func (h *itemHeap) Len() int           { return len(h.items) }
func (h *itemHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *itemHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index, h.items[j].index = i, j
}

// Push implements heap.Interface.
func (h *itemHeap) Push(x any) {
	if it, ok := x.(*Item); ok {
		it.index = len(h.items)
		h.items = append(h.items, it)
	}
}

// Pop implements heap.Interface.
func (h *itemHeap) Pop() any {
	last := len(h.items) - 1
	it := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	return it
}
