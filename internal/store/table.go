package store

import (
	"iter"
	"slices"
	"strings"
)

// schema is what a collection's trees are made by.
type schema struct {
	prefix string
	codec  Codec
	names  []string // of the indexes, sorted
	funcs  []func(obj any) []string
}

func newSchema(spec CollectionSpec) *schema {
	s := &schema{prefix: spec.Prefix, codec: spec.Codec}
	for name := range spec.Indexes {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	for _, name := range s.names {
		s.funcs = append(s.funcs, spec.Indexes[name])
	}
	return s
}

// table is a collection's keys and indexes in the hand of their one writer.
type table struct {
	*schema
	items   tree[*item]
	indexes []tree[indexRow]
}

func newTable(s *schema) *table {
	t := &table{schema: s, items: view[*item]{}.edit(), indexes: make([]tree[indexRow], len(s.names))}
	for i := range t.indexes {
		t.indexes[i] = view[indexRow]{}.edit()
	}
	return t
}

// replace puts now in the place of was; either may be nil.
func (t *table) replace(was, now *item) {
	switch {
	case now != nil:
		t.items.set(now)
	case was != nil:
		t.items.remove("", was.key)
	}
	if len(t.indexes) == 0 {
		return
	}
	wasObj, nowObj := t.indexable(was), t.indexable(now)
	for i, values := range t.funcs {
		if wasObj != nil {
			for _, v := range values(wasObj) {
				t.indexes[i].remove(v, was.key)
			}
		}
		if nowObj != nil {
			for _, v := range values(nowObj) {
				t.indexes[i].set(indexRow{v, now})
			}
		}
	}
}

// indexable returns the object of an item, or nil when there is none. What cannot be decoded is in no index: the reader who
// asks for the object itself gets the error.
func (t *table) indexable(it *item) any {
	if it == nil {
		return nil
	}
	obj, err := it.decoded(t.codec)
	if err != nil {
		return nil
	}
	return obj
}

// freeze returns the present content as a snapshot.
func (t *table) freeze(revision int64) *snapshot {
	s := &snapshot{schema: t.schema, revision: revision, items: t.items.freeze()}
	if len(t.indexes) > 0 {
		s.indexes = make([]view[indexRow], len(t.indexes))
		for i := range t.indexes {
			s.indexes[i] = t.indexes[i].freeze()
		}
	}
	return s
}

// snapshot implements Snapshot.
type snapshot struct {
	*schema
	revision int64
	items    view[*item]
	indexes  []view[indexRow]
}

// edit returns a table that starts with the snapshot's content.
func (s *snapshot) edit() *table {
	t := &table{schema: s.schema, items: s.items.edit(), indexes: make([]tree[indexRow], len(s.indexes))}
	for i := range s.indexes {
		t.indexes[i] = s.indexes[i].edit()
	}
	return t
}

// at is the same content under another revision.
func (s *snapshot) at(revision int64) *snapshot {
	c := *s
	c.revision = revision
	return &c
}

func (s *snapshot) Revision() int64 { return s.revision }

func (s *snapshot) Get(key string) (Entry, bool) {
	it, found := s.items.get("", key)
	return it.entry(), found
}

func (s *snapshot) Ascend(prefix, from string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		s.items.ascend("", max(prefix, from), func(it *item) bool {
			return strings.HasPrefix(it.key, prefix) && yield(it.entry())
		})
	}
}

func (s *snapshot) Index(name, value string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		i, found := slices.BinarySearch(s.names, name)
		if !found {
			return
		}
		s.indexes[i].ascend(value, "", func(r indexRow) bool {
			return r.value == value && yield(r.item.entry())
		})
	}
}

func (s *snapshot) Len(prefix string) int {
	end, bounded := prefixEnd(prefix)
	if !bounded {
		return s.items.len() - s.items.rank("", prefix)
	}
	return s.items.rank("", end) - s.items.rank("", prefix)
}

// rewind returns the state at an older revision by undoing the events after it. The events must reach back to it without a gap.
func (s *snapshot) rewind(events []Event, revision int64) *snapshot {
	t := s.edit()
	for i := len(events) - 1; i >= 0 && events[i].Revision > revision; i-- {
		e := &events[i]
		switch e.Type {
		case Created:
			t.replace(e.Entry.item, nil)
		case Updated:
			t.replace(e.Entry.item, e.Old.item)
		case Deleted:
			t.replace(nil, e.Old.item)
		case Bookmark: // never in the log
		}
	}
	return t.freeze(revision)
}
