package endpointslice

import (
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// perSlice is how many endpoints a slice holds at most.
const perSlice = 100

// changes are what has to happen to slices. Those in update and create belong to the plan, the others to the view.
type changes struct {
	create, update, remove, keep []*discoveryv1.EndpointSlice
}

func (c *changes) join(d changes) {
	c.create = append(c.create, d.create...)
	c.update = append(c.update, d.update...)
	c.remove = append(c.remove, d.remove...)
	c.keep = append(c.keep, d.keep...)
}

// pack puts the wanted endpoints into slices with few writes. Every endpoint that is published already stays in its slice.
// New ones go first into slices that are written anyway, the fullest first; when they then all fit into the free room of one
// more slice they go there, otherwise into new ones. Slices are never merged for the sake of order.
func pack(existing []*discoveryv1.EndpointSlice, want []discoveryv1.Endpoint, create func() *discoveryv1.EndpointSlice) changes {
	var c changes
	left := map[string]discoveryv1.Endpoint{}
	var order []string
	for _, e := range want {
		key := identity(e)
		if _, twice := left[key]; !twice {
			order = append(order, key)
		}
		left[key] = e
	}
	for _, s := range existing {
		c.retain(s, left)
	}
	rest := make([]discoveryv1.Endpoint, 0, len(left))
	for _, key := range order {
		if e, ok := left[key]; ok {
			rest = append(rest, e)
		}
	}
	slices.SortStableFunc(c.update, func(a, b *discoveryv1.EndpointSlice) int { return len(b.Endpoints) - len(a.Endpoints) })
	for _, s := range c.update {
		rest = fill(s, rest)
	}
	if i := fits(c.keep, len(rest)); len(rest) > 0 && i >= 0 {
		s := c.keep[i].DeepCopy()
		c.keep = slices.Delete(slices.Clone(c.keep), i, i+1)
		rest = fill(s, rest)
		c.update = append(c.update, s)
	}
	for len(rest) > 0 {
		s := create()
		rest = fill(s, rest)
		c.create = append(c.create, s)
	}
	return c
}

// retain takes what the slice and the wanted endpoints have in common out of left, and decides about the slice.
func (c *changes) retain(s *discoveryv1.EndpointSlice, left map[string]discoveryv1.Endpoint) {
	stay := make([]discoveryv1.Endpoint, 0, len(s.Endpoints))
	same := true
	for _, e := range s.Endpoints {
		now, ok := left[identity(e)]
		if !ok {
			same = false
			continue
		}
		delete(left, identity(e))
		same = same && equality.Semantic.DeepEqual(e, now)
		stay = append(stay, now)
	}
	switch {
	case same && len(stay) > 0:
		c.keep = append(c.keep, s)
	case len(stay) == 0:
		c.remove = append(c.remove, s)
	default:
		s = s.DeepCopy()
		s.Endpoints = stay
		c.update = append(c.update, s)
	}
}

// identity tells endpoints apart whatever their state.
func identity(e discoveryv1.Endpoint) string {
	parts := slices.Sorted(slices.Values(e.Addresses))
	if e.Hostname != nil {
		parts = append(parts, "host", *e.Hostname)
	}
	if e.TargetRef != nil {
		parts = append(parts, "pod", e.TargetRef.Namespace, e.TargetRef.Name)
	}
	return strings.Join(parts, " ")
}

// fill moves as many endpoints into the slice as fit and returns the rest.
func fill(s *discoveryv1.EndpointSlice, rest []discoveryv1.Endpoint) []discoveryv1.Endpoint {
	n := min(perSlice-len(s.Endpoints), len(rest))
	s.Endpoints = append(s.Endpoints, rest[:n]...)
	return rest[n:]
}

// fits returns the slice that would be fullest with n more endpoints, or -1.
func fits(all []*discoveryv1.EndpointSlice, n int) int {
	best := -1
	for i, s := range all {
		if len(s.Endpoints)+n <= perSlice && (best < 0 || len(s.Endpoints) > len(all[best].Endpoints)) {
			best = i
		}
	}
	return best
}

// reuse turns pairs of a slice to create and one to remove into an update, which watchers take more easily.
func (c *changes) reuse() {
	for len(c.create) > 0 && len(c.remove) > 0 {
		old, fresh := c.remove[0], c.create[0]
		if !sameOwner(old, fresh) {
			return // another service's of the same name
		}
		c.remove, c.create = c.remove[1:], c.create[1:]
		old = old.DeepCopy()
		old.Ports, old.Endpoints = fresh.Ports, fresh.Endpoints
		c.update = append(c.update, old)
	}
}

// sameOwner tells whether the slices belong to one service, and not to its successor of the same name.
func sameOwner(a, b *discoveryv1.EndpointSlice) bool {
	return len(a.OwnerReferences) > 0 && len(b.OwnerReferences) > 0 && a.OwnerReferences[0].UID == b.OwnerReferences[0].UID
}

// keepPlaceholder gives a service without endpoints one empty slice, which tells that its endpoints are known to be none.
func (c *changes) keepPlaceholder(empty *discoveryv1.EndpointSlice) {
	for i, s := range c.remove {
		if len(s.Endpoints) == 0 && len(s.Ports) == 0 && sameOwner(s, empty) {
			c.keep = append(c.keep, s)
			c.remove = slices.Delete(slices.Clone(c.remove), i, i+1)
			return
		}
	}
	c.create = append(c.create, empty)
}
