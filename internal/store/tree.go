package store

import (
	"slices"
	"strings"
)

// The tree is a persistent B-tree. A view (its root) is immutable and safe for any number of readers; a tree is the one
// writer's handle. A writer changes the nodes it made since its last freeze in place and copies every other node first, so
// taking a view costs nothing and a batch of writes copies each node at most once. Subtree sizes make ranks cheap.

const (
	maxRows = 31
	minRows = maxRows / 2
)

// row is what a tree holds: something with a place in the order (group, key).
type row interface {
	order() (group, key string)
}

// owner marks the nodes that one writer may change in place. It has a size so that every owner has its own address.
type owner struct{ _ byte }

type node[T row] struct {
	owner *owner
	size  int
	rows  []T
	kids  []*node[T]
}

// view is an immutable tree.
type view[T row] struct{ root *node[T] }

// tree is a view that its single writer can change.
type tree[T row] struct {
	view[T]
	owner *owner
}

// edit returns a writer's handle on a view; the view itself stays as it is.
func (v view[T]) edit() tree[T] { return tree[T]{view: v, owner: new(owner)} }

// freeze returns the present content; later writes copy what they change.
func (t *tree[T]) freeze() view[T] {
	t.owner = new(owner)
	return t.view
}

func (v view[T]) len() int {
	if v.root == nil {
		return 0
	}
	return v.root.size
}

func (v view[T]) get(group, key string) (T, bool) {
	for n := v.root; n != nil; {
		i, found := n.search(group, key)
		if found {
			return n.rows[i], true
		}
		if len(n.kids) == 0 {
			break
		}
		n = n.kids[i]
	}
	var zero T
	return zero, false
}

// rank counts the rows before (group, key).
func (v view[T]) rank(group, key string) int {
	rank := 0
	for n := v.root; n != nil; {
		i, found := n.search(group, key)
		rank += i
		if len(n.kids) == 0 {
			break
		}
		for _, kid := range n.kids[:i] {
			rank += kid.size
		}
		if found {
			rank += n.kids[i].size
			break
		}
		n = n.kids[i]
	}
	return rank
}

// ascend yields the rows from (group, key) on, in order, until yield says false.
func (v view[T]) ascend(group, key string, yield func(T) bool) {
	if v.root != nil {
		v.root.ascend(group, key, yield)
	}
}

func (n *node[T]) ascend(group, key string, yield func(T) bool) bool {
	i, found := n.search(group, key)
	if !found && len(n.kids) > 0 && !n.kids[i].ascend(group, key, yield) {
		return false
	}
	for ; i < len(n.rows); i++ {
		if !yield(n.rows[i]) {
			return false
		}
		if len(n.kids) > 0 && !n.kids[i+1].all(yield) {
			return false
		}
	}
	return true
}

func (n *node[T]) all(yield func(T) bool) bool {
	for i := range n.rows {
		if len(n.kids) > 0 && !n.kids[i].all(yield) {
			return false
		}
		if !yield(n.rows[i]) {
			return false
		}
	}
	return len(n.kids) == 0 || n.kids[len(n.rows)].all(yield)
}

// search returns the first row that is not before (group, key), and whether it is exactly there.
func (n *node[T]) search(group, key string) (int, bool) {
	low, high := 0, len(n.rows)
	for low < high {
		mid := int(uint(low+high) >> 1)
		g, k := n.rows[mid].order()
		c := strings.Compare(g, group)
		if c == 0 {
			c = strings.Compare(k, key)
		}
		switch {
		case c == 0:
			return mid, true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, false
}

// own returns n when this writer made it, else a copy that it may change.
func (t *tree[T]) own(n *node[T]) *node[T] {
	if n.owner == t.owner {
		return n
	}
	c := &node[T]{owner: t.owner, size: n.size}
	c.rows = append(make([]T, 0, min(len(n.rows)+4, maxRows)), n.rows...)
	if len(n.kids) > 0 {
		c.kids = append(make([]*node[T], 0, min(len(n.kids)+4, maxRows+1)), n.kids...)
	}
	return c
}

func (t *tree[T]) ownKid(n *node[T], i int) *node[T] {
	n.kids[i] = t.own(n.kids[i])
	return n.kids[i]
}

// set inserts a row or replaces the one in its place.
func (t *tree[T]) set(r T) {
	if t.root == nil {
		t.root = &node[T]{owner: t.owner, size: 1, rows: []T{r}}
		return
	}
	t.root = t.own(t.root)
	if len(t.root.rows) == maxRows {
		left := t.root
		mid, right := t.split(left)
		t.root = &node[T]{
			owner: t.owner, size: left.size + right.size + 1,
			rows: []T{mid}, kids: []*node[T]{left, right},
		}
	}
	t.insert(t.root, r)
}

// split cuts an owned full node in two and returns the row between them and the right half.
func (t *tree[T]) split(n *node[T]) (T, *node[T]) {
	mid := n.rows[minRows]
	right := &node[T]{owner: t.owner, rows: slices.Clone(n.rows[minRows+1:])}
	clear(n.rows[minRows:])
	n.rows = n.rows[:minRows]
	right.size = len(right.rows)
	if len(n.kids) > 0 {
		right.kids = slices.Clone(n.kids[minRows+1:])
		clear(n.kids[minRows+1:])
		n.kids = n.kids[:minRows+1]
		for _, kid := range right.kids {
			right.size += kid.size
		}
	}
	n.size -= right.size + 1
	return mid, right
}

// insert puts a row under n, which is owned and not full, and says whether the tree grew.
func (t *tree[T]) insert(n *node[T], r T) bool {
	group, key := r.order()
	i, found := n.search(group, key)
	if found {
		n.rows[i] = r
		return false
	}
	if len(n.kids) == 0 {
		n.rows = slices.Insert(n.rows, i, r)
		n.size++
		return true
	}
	kid := t.ownKid(n, i)
	if len(kid.rows) == maxRows {
		mid, right := t.split(kid)
		n.rows = slices.Insert(n.rows, i, mid)
		n.kids = slices.Insert(n.kids, i+1, right)
		if i, found = n.search(group, key); found {
			n.rows[i] = r
			return false
		}
		kid = n.kids[i]
	}
	grew := t.insert(kid, r)
	if grew {
		n.size++
	}
	return grew
}

// remove takes a row out and says whether it was there.
func (t *tree[T]) remove(group, key string) bool {
	if _, found := t.get(group, key); !found {
		return false
	}
	t.root = t.own(t.root)
	t.delete(t.root, group, key)
	switch {
	case t.root.size == 0:
		t.root = nil
	case len(t.root.rows) == 0:
		t.root = t.root.kids[0]
	}
	return true
}

// delete takes out a row that is there, under n, which is owned and can spare a row.
func (t *tree[T]) delete(n *node[T], group, key string) {
	n.size--
	i, found := n.search(group, key)
	switch {
	case len(n.kids) == 0:
		n.rows = slices.Delete(n.rows, i, i+1)
	case !found:
		t.delete(t.spare(n, i), group, key)
	case len(n.kids[i].rows) > minRows:
		kid := t.ownKid(n, i)
		n.rows[i] = kid.last()
		g, k := n.rows[i].order()
		t.delete(kid, g, k)
	case len(n.kids[i+1].rows) > minRows:
		kid := t.ownKid(n, i+1)
		n.rows[i] = kid.first()
		g, k := n.rows[i].order()
		t.delete(kid, g, k)
	default:
		t.delete(t.merge(n, i), group, key)
	}
}

func (n *node[T]) first() T {
	for len(n.kids) > 0 {
		n = n.kids[0]
	}
	return n.rows[0]
}

func (n *node[T]) last() T {
	for len(n.kids) > 0 {
		n = n.kids[len(n.kids)-1]
	}
	return n.rows[len(n.rows)-1]
}

// spare returns the node now holding what kid i of n holds, owned and with more than the least number of rows: it borrows
// from a neighbour or is merged with one.
func (t *tree[T]) spare(n *node[T], i int) *node[T] {
	if len(n.kids[i].rows) > minRows {
		return t.ownKid(n, i)
	}
	switch {
	case i > 0 && len(n.kids[i-1].rows) > minRows:
		left, kid := t.ownKid(n, i-1), t.ownKid(n, i)
		last := len(left.rows) - 1
		kid.rows = slices.Insert(kid.rows, 0, n.rows[i-1])
		n.rows[i-1] = left.rows[last]
		left.rows = slices.Delete(left.rows, last, last+1)
		moved := 1
		if len(left.kids) > 0 {
			moved += left.kids[last+1].size
			kid.kids = slices.Insert(kid.kids, 0, left.kids[last+1])
			left.kids = slices.Delete(left.kids, last+1, last+2)
		}
		left.size, kid.size = left.size-moved, kid.size+moved
		return kid
	case i < len(n.rows) && len(n.kids[i+1].rows) > minRows:
		kid, right := t.ownKid(n, i), t.ownKid(n, i+1)
		kid.rows = append(kid.rows, n.rows[i])
		n.rows[i] = right.rows[0]
		right.rows = slices.Delete(right.rows, 0, 1)
		moved := 1
		if len(right.kids) > 0 {
			moved += right.kids[0].size
			kid.kids = append(kid.kids, right.kids[0])
			right.kids = slices.Delete(right.kids, 0, 1)
		}
		kid.size, right.size = kid.size+moved, right.size-moved
		return kid
	}
	return t.merge(n, min(i, len(n.rows)-1))
}

// merge joins kids i and i+1 of n and the row between them, and returns the joined node.
func (t *tree[T]) merge(n *node[T], i int) *node[T] {
	left, right := t.ownKid(n, i), n.kids[i+1]
	left.rows = append(append(left.rows, n.rows[i]), right.rows...)
	left.kids = append(left.kids, right.kids...)
	left.size += right.size + 1
	n.rows = slices.Delete(n.rows, i, i+1)
	n.kids = slices.Delete(n.kids, i+1, i+2)
	return left
}

// prefixEnd is the first key after every key with the prefix; false when there is none.
func prefixEnd(prefix string) (string, bool) {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1}), true
		}
	}
	return "", false
}
