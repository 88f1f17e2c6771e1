package store

import (
	"errors"
	"sync"
	"sync/atomic"
)

// encoding is one kept encoding of one item.
type encoding struct {
	item *item
	name string
	next atomic.Pointer[encoding] // of the same item; changed under the cache's mutex

	once sync.Once
	data []byte
	err  error

	made atomic.Bool // data is there, and stays
	used atomic.Bool // since the clock's hand last passed
	slot int         // in the cache's ring; guarded by its mutex
}

// encodings is the cache of all of them, within a budget of bytes. A hit takes no lock: the item has its list, and use is a
// flag that the clock's hand clears as it looks for something to give up.
type encodings struct {
	budget int

	mu   sync.Mutex
	ring []*encoding
	hand int
	size int
}

// encodingOverhead is what an encoding takes besides its bytes, about.
const encodingOverhead = 128

func (c *encodings) get(it *item, name string, encode func() ([]byte, error)) ([]byte, error) {
	e := find(it.encodings.Load(), name)
	if e == nil {
		e = c.join(it, name)
	}
	e.once.Do(func() {
		e.err = errUnfinished
		defer c.keep(e) // also when encode panics
		e.data, e.err = encode()
	})
	e.touch()
	return e.data, e.err
}

// encoded returns a kept encoding of the item.
func (it *item) encoded(name string) ([]byte, bool) {
	e := find(it.encodings.Load(), name)
	if e == nil || !e.made.Load() {
		return nil, false
	}
	e.touch()
	return e.data, true
}

// touch notes a use. Most only read, so that the flag's cache line stays shared.
func (e *encoding) touch() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// errUnfinished is what those get who waited for an encoding whose maker panicked.
var errUnfinished = errors.New("encoding was not finished")

func find(e *encoding, name string) *encoding {
	for e != nil && e.name != name {
		e = e.next.Load()
	}
	return e
}

// join returns the item's encoding of that name, linked to the item though not made yet, so that all who ask meet there.
func (c *encodings) join(it *item, name string) *encoding {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := it.encodings.Load()
	if e := find(head, name); e != nil {
		return e
	}
	e := &encoding{item: it, name: name}
	e.next.Store(head)
	it.encodings.Store(e)
	return e
}

// keep puts a made encoding into the ring and gives up others until the budget holds. A failed one is not kept.
func (c *encodings) keep(e *encoding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.err != nil {
		unlink(e)
		return
	}
	e.made.Store(true)
	e.slot = len(c.ring)
	c.ring = append(c.ring, e)
	c.size += len(e.data) + encodingOverhead
	for c.size > c.budget && len(c.ring) > 0 {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		victim := c.ring[c.hand]
		if victim.used.Swap(false) {
			c.hand++
			continue
		}
		c.evict(victim)
	}
}

func (c *encodings) evict(e *encoding) {
	last := len(c.ring) - 1
	c.ring[e.slot] = c.ring[last]
	c.ring[e.slot].slot = e.slot
	c.ring[last] = nil
	c.ring = c.ring[:last]
	c.size -= len(e.data) + encodingOverhead
	unlink(e)
}

// unlink takes an encoding out of its item's list.
func unlink(e *encoding) {
	link := &e.item.encodings
	for x := link.Load(); x != nil; x = link.Load() {
		if x == e {
			link.Store(e.next.Load())
			return
		}
		link = &x.next
	}
}
