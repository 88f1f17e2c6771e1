package nft

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is a set of edits of one table that belong into one transaction. The order of application is: sets, new chains, rules,
// removed elements, added elements, removed chains.
type Change struct {
	Table string
	// Sets are new sets.
	Sets []Set
	// Chains are new chains or chains with new rules.
	Chains []Chain
	// Removed and Added are elements by set. An element whose data changes is in both.
	Removed map[string][]Element
	Added   map[string][]Element
	// Gone are chains to delete.
	Gone []string
	// decl gives the types of the sets that elements refer to.
	decl map[string]Set
}

// Empty tells whether there is nothing to do.
func (c *Change) Empty() bool {
	return len(c.Sets) == 0 && len(c.Chains) == 0 && len(c.Removed) == 0 && len(c.Added) == 0 && len(c.Gone) == 0
}

// Diff returns the change that makes old into want. Sets are only ever added: a table whose set declarations differ must be
// replaced as a whole, which ok=false says.
func Diff(old, want *Table) (c *Change, ok bool) {
	c = &Change{Table: want.Name, decl: want.Sets}
	for name, s := range old.Sets {
		n, there := want.Sets[name]
		if !there || s.signature() != n.signature() {
			return nil, false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Sets)) {
		if _, there := old.Sets[name]; !there {
			c.Sets = append(c.Sets, want.Sets[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Chains)) {
		c.diffChain(old, want, name)
	}
	for _, name := range slices.Sorted(maps.Keys(old.Chains)) {
		c.diffChain(old, want, name)
	}
	for name := range want.Sets {
		for key := range want.Elements[name] {
			c.diffElement(old, want, name, key)
		}
		for key := range old.Elements[name] {
			if _, there := want.Elements[name][key]; !there {
				c.diffElement(old, want, name, key)
			}
		}
	}
	c.sort()
	return c, true
}

func (c *Change) diffChain(old, want *Table, name string) {
	n, inNew := want.Chains[name]
	o, inOld := old.Chains[name]
	switch {
	case inNew && !slices.ContainsFunc(c.Chains, func(x Chain) bool { return x.Name == name }):
		if !inOld || !sameRules(o, n) {
			c.Chains = append(c.Chains, n)
		}
	case inOld && !inNew:
		c.Gone = append(c.Gone, name)
	}
}

func (c *Change) diffElement(old, want *Table, set string, key Tuple) {
	n, inNew := want.Elements[set][key]
	o, inOld := old.Elements[set][key]
	if inOld && inNew && o == n {
		return
	}
	if inOld {
		if c.Removed == nil {
			c.Removed = map[string][]Element{}
		}
		c.Removed[set] = append(c.Removed[set], o)
	}
	if inNew {
		if c.Added == nil {
			c.Added = map[string][]Element{}
		}
		c.Added[set] = append(c.Added[set], n)
	}
}

func (c *Change) sort() {
	for _, m := range []map[string][]Element{c.Removed, c.Added} {
		for _, es := range m {
			slices.SortFunc(es, func(a, b Element) int { return strings.Compare(string(a.Key), string(b.Key)) })
		}
	}
}

// NewChange returns a change without edits of a table, to be filled by hand.
func NewChange(t *Table) *Change { return &Change{Table: t.Name, decl: t.Sets} }

// AddAll adds all elements of a table.
func (c *Change) AddAll(t *Table) {
	if c.Added == nil {
		c.Added = map[string][]Element{}
	}
	for set, m := range t.Elements {
		for _, e := range m {
			c.Added[set] = append(c.Added[set], e)
		}
	}
	c.sort()
}

// Delete removes elements of a set.
func (c *Change) Delete(set string, es ...Element) {
	if c.Removed == nil {
		c.Removed = map[string][]Element{}
	}
	c.Removed[set] = append(c.Removed[set], es...)
}

// Apply performs the change on a table value.
func (c *Change) Apply(t *Table) {
	t.AddSet(c.Sets...)
	for _, ch := range c.Chains {
		t.Chains[ch.Name] = ch
	}
	for set, es := range c.Removed {
		for _, e := range es {
			t.Remove(set, e.Key)
		}
	}
	for set, es := range c.Added {
		for _, e := range es {
			t.Put(set, e)
		}
	}
	for _, name := range c.Gone {
		delete(t.Chains, name)
	}
}

// String renders the change, a line per edit, for golden files and logs.
func (c *Change) String() string {
	var b strings.Builder
	for _, s := range c.Sets {
		fmt.Fprintf(&b, "add set %s\n", s.Name)
	}
	for _, ch := range c.Chains {
		fmt.Fprintf(&b, "set chain %s\n", ch.Name)
		for _, r := range ch.Rules {
			fmt.Fprintf(&b, "\t%s\n", r.Text)
		}
	}
	c.writeElements(&b, "delete", c.Removed)
	c.writeElements(&b, "add", c.Added)
	for _, name := range c.Gone {
		fmt.Fprintf(&b, "delete chain %s\n", name)
	}
	return b.String()
}

func (c *Change) writeElements(b *strings.Builder, verb string, m map[string][]Element) {
	for _, set := range slices.Sorted(maps.Keys(m)) {
		for _, e := range m[set] {
			fmt.Fprintf(b, "%s element %s { %s }\n", verb, set, e.format(c.decl[set]))
		}
	}
}

// signature is the declaration as text: two sets with the same signature need no re-creation.
func (s Set) signature() string {
	return fmt.Sprintf("%s|%v|%v|%v|%v|%v|%v", s.Name, s.Key, s.Data, s.Verdict, s.Dynamic, s.Timeout, s.Size)
}
