package store

import (
	"slices"
	"sort"
	"strings"
)

// history is a collection's newest events in revision order. The writer appends and drops from the front; what it hands out
// is never changed, so readers keep slices of it without copying. An event's number counts from the collection's first
// event and stays when older ones are dropped.
type history struct {
	events []Event
	// base is the number of events[0].
	base uint64
	// floor: every event after this revision is here.
	floor int64
	// exact: at or after this revision no state is missing between two events, so states can be derived by undoing.
	exact int64
	// bytes is what the events keep in memory, about.
	bytes int
	// dropped counts the events before events[0] still held by the array below.
	dropped int
}

// cost is what an event keeps in memory besides the newest state: the state it replaced, and the object decoded from that,
// which is a few times as big.
func cost(e *Event) int { return 256 + 4*len(e.Old.Value) }

func (h *history) add(e Event) {
	if len(h.events) == cap(h.events) {
		h.compact()
	}
	h.events = append(h.events, e)
	h.bytes += cost(&e)
}

// compact moves the events to an array of their own with room for as many again.
func (h *history) compact() {
	h.events = append(make([]Event, 0, max(16, len(h.events)*2)), h.events...)
	h.dropped = 0
}

// drop forgets the oldest revision's events and returns the bytes freed.
func (h *history) drop() int {
	n, freed := 0, 0
	for h.floor = h.events[0].Revision; n < len(h.events) && h.events[n].Revision == h.floor; n++ {
		freed += cost(&h.events[n])
	}
	h.events = h.events[n:]
	h.base += uint64(n)
	h.bytes -= freed
	h.exact = max(h.exact, h.floor)
	// Dropped events stay reachable through the array; don't let them outnumber the others.
	if h.dropped += n; h.dropped > len(h.events)+16 {
		h.compact()
	}
	return freed
}

// after returns the number of the first event after the revision.
func (h *history) after(revision int64) uint64 {
	return h.base + uint64(sort.Search(len(h.events), func(i int) bool { return h.events[i].Revision > revision }))
}

// from returns the events from a number on; false when they are no longer here.
func (h *history) from(number uint64) ([]Event, bool) {
	if number < h.base {
		return nil, false
	}
	return slices.Clip(h.events[number-h.base:]), true
}

// cut moves the events of keys with the prefix to a history of their own. It changes events in place, so this history must
// have no readers.
func (h *history) cut(prefix string) history {
	part := history{floor: h.floor, exact: h.exact}
	h.events = slices.DeleteFunc(h.events, func(e Event) bool {
		if !strings.HasPrefix(e.Entry.Key, prefix) {
			return false
		}
		part.add(e)
		return true
	})
	h.bytes -= part.bytes
	return part
}
