package nft

import (
	"cmp"
	"maps"
	"slices"
)

// Fragment is what one owner (such as a service) contributes to a table. Several owners may claim the same chain, whose rules
// must then be the same, and the same element, whose data may differ.
type Fragment struct {
	// Age orders owners that claim one element with different data: the lower one wins, then the lower owner name.
	Age    int64
	Chains []Chain
	// Elements are the claims by set.
	Elements map[string][]Element
}

// Put claims an element.
func (f *Fragment) Put(set string, e Element) {
	if f.Elements == nil {
		f.Elements = map[string][]Element{}
	}
	f.Elements[set] = append(f.Elements[set], e)
}

// Has tells whether the fragment claims the chain.
func (f *Fragment) Has(name string) bool {
	return slices.ContainsFunc(f.Chains, func(c Chain) bool { return c.Name == name })
}

// Chain claims a chain.
func (f *Fragment) Chain(name string, rules ...Rule) {
	f.Chains = append(f.Chains, Chain{Name: name, Rules: rules})
}

type slot struct {
	set string
	key Tuple
}

type claim struct {
	owner string
	age   int64
	e     Element
}

// Fragments keeps a table that is the sum of a fixed base and fragments, and says what changed. The result depends only on the
// fragments, not on the order in which they came.
type Fragments struct {
	table   *Table
	byOwner map[string]Fragment
	claims  map[slot][]claim
	// touched collects what may have changed since the last Take, with its state before.
	touchedSlots  map[slot]bool
	touchedChains map[string]bool
	// want are the chains as they should be, chainUsers the number of claims on those that are not of the base.
	want       map[string]Chain
	chainUsers map[string]int
}

// NewFragments starts with the base.
func NewFragments(base *Table) *Fragments {
	return &Fragments{
		table: base.Clone(), byOwner: map[string]Fragment{}, claims: map[slot][]claim{},
		touchedSlots: map[slot]bool{}, touchedChains: map[string]bool{}, want: maps.Clone(base.Chains),
		chainUsers: map[string]int{},
	}
}

// Table returns the table as of the last Take. It must not be changed.
func (f *Fragments) Table() *Table { return f.table }

// Set replaces the owner's fragment.
func (f *Fragments) Set(owner string, frag Fragment) {
	f.drop(owner)
	f.byOwner[owner] = frag
	for _, c := range frag.Chains {
		f.want[c.Name] = c
		f.chainUsers[c.Name]++
		f.touchedChains[c.Name] = true
	}
	for set, es := range frag.Elements {
		for _, e := range es {
			s := slot{set, e.Key}
			f.claims[s] = append(f.claims[s], claim{owner, frag.Age, e})
			f.touchedSlots[s] = true
		}
	}
}

// Delete takes the owner's fragment away.
func (f *Fragments) Delete(owner string) {
	f.drop(owner)
	delete(f.byOwner, owner)
}

// Owners returns the owners that have a fragment.
func (f *Fragments) Owners() []string { return slices.Sorted(maps.Keys(f.byOwner)) }

func (f *Fragments) drop(owner string) {
	old, ok := f.byOwner[owner]
	if !ok {
		return
	}
	for _, c := range old.Chains {
		if f.chainUsers[c.Name]--; f.chainUsers[c.Name] == 0 {
			delete(f.chainUsers, c.Name)
			delete(f.want, c.Name)
		}
		f.touchedChains[c.Name] = true
	}
	for set, es := range old.Elements {
		for _, e := range es {
			s := slot{set, e.Key}
			f.claims[s] = slices.DeleteFunc(f.claims[s], func(c claim) bool { return c.owner == owner })
			if len(f.claims[s]) == 0 {
				delete(f.claims, s)
			}
			f.touchedSlots[s] = true
		}
	}
}

// Take returns what changed since the last Take and moves Table to it.
func (f *Fragments) Take() *Change {
	c := &Change{Table: f.table.Name, decl: f.table.Sets}
	next := &Table{Name: f.table.Name, Chains: f.want, Elements: map[string]map[Tuple]Element{}}
	for s := range f.touchedSlots {
		if cs := f.claims[s]; len(cs) > 0 {
			next.Put(s.set, slices.MinFunc(cs, compareClaims).e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.touchedChains)) {
		c.diffChain(f.table, next, name)
	}
	for s := range f.touchedSlots {
		c.diffElement(f.table, next, s.set, s.key)
	}
	c.sort()
	c.Apply(f.table)
	clear(f.touchedSlots)
	clear(f.touchedChains)
	return c
}

func compareClaims(a, b claim) int {
	return cmp.Or(cmp.Compare(a.age, b.age), cmp.Compare(a.owner, b.owner), cmp.Compare(a.e.Data, b.e.Data),
		cmp.Compare(a.e.Goto, b.e.Goto))
}
