package plugins

import (
	"maps"

	"coracle.dev/coracle/internal/scheduler/core"
)

// domain is the set of nodes that have the value under the key among their labels.
type domain struct {
	key   string
	value string
}

// domainOf returns the domain of a node under a key; false when it has no such label and so is in none.
func domainOf(node *core.Node, key string) (domain, bool) {
	v, ok := node.Object.Labels[key]
	return domain{key: key, value: v}, ok
}

// tally counts by domain: counts that are shared, and a few changes laid over them. Immutable but for add, which is for building
// one.
type tally struct {
	base   map[domain]int64
	change map[domain]int64
	// sum of all counts.
	sum int64
}

func (t *tally) add(d domain, n int64) {
	if t.base == nil {
		t.base = map[domain]int64{}
	}
	t.base[d] += n
	t.sum += n
}

// of returns a domain's count.
func (t *tally) of(d domain) int64 { return t.base[d] + t.change[d] }

// plus returns the tally with n more in a domain.
func (t *tally) plus(d domain, n int64) tally {
	changed := maps.Clone(t.change)
	if changed == nil {
		changed = map[domain]int64{}
	}
	changed[d] += n
	return tally{base: t.base, change: changed, sum: t.sum + n}
}
