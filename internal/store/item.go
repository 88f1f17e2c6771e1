package store

import (
	"sync"
	"sync/atomic"
)

// item is the image's record of one key at one revision. All but the caches is immutable.
type item struct {
	key      string
	revision int64
	value    []byte

	decode sync.Once
	object any
	err    error

	// encodings is the newest of a list of the encodings kept for this item; the cache alone changes it.
	encodings atomic.Pointer[encoding]
}

func newItem(key string, revision int64, value []byte) *item {
	return &item{key: key, revision: revision, value: value}
}

func (it *item) order() (group, key string) { return "", it.key }

func (it *item) entry() Entry {
	if it == nil {
		return Entry{}
	}
	return Entry{Key: it.key, Revision: it.revision, Value: it.value, item: it}
}

// decoded returns the object, decoding it once however many ask at the same time.
func (it *item) decoded(codec Codec) (any, error) {
	it.decode.Do(func() { it.object, it.err = codec.Decode(it.key, it.value, it.revision) })
	return it.object, it.err
}

// indexRow is an item's place under one value of one index.
type indexRow struct {
	value string
	item  *item
}

func (r indexRow) order() (group, key string) { return r.value, r.item.key }
