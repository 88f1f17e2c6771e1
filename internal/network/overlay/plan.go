package overlay

import (
	"fmt"
	"net/netip"
	"slices"
)

// Op is one step from the actual to the wanted state. Exactly one of the pointers is set.
type Op struct {
	Remove    bool
	Device    *Device
	Route     *Route
	Neighbour *Neighbour
	Forward   *Forward
	Addr      *netip.Addr
	Sysctl    *Sysctl
}

func (o Op) String() string {
	verb := "set"
	if o.Remove {
		verb = "remove"
	}
	switch {
	case o.Device != nil:
		return fmt.Sprintf("%s device %s", verb, o.Device)
	case o.Route != nil:
		return fmt.Sprintf("%s route %s", verb, o.Route)
	case o.Neighbour != nil:
		return fmt.Sprintf("%s neighbour %s", verb, o.Neighbour)
	case o.Forward != nil:
		return fmt.Sprintf("%s forward %s", verb, o.Forward)
	case o.Addr != nil:
		return fmt.Sprintf("%s address %s", verb, o.Addr)
	case o.Sysctl != nil:
		return fmt.Sprintf("%s sysctl %s = %s", verb, o.Sysctl.Key, o.Sysctl.Value)
	}
	return verb + " nothing"
}

// Plan returns the steps that make actual into want, in an order in which each can succeed. Pure. Of the actual state only what
// is ours may be given (see read), since the rest would be removed.
func Plan(want, actual State) []Op {
	var ops []Op
	for _, s := range want.Sysctls {
		// A setting that the kernel lacks is not in actual.
		if i := slices.IndexFunc(actual.Sysctls, func(a Sysctl) bool { return a.Key == s.Key }); i >= 0 &&
			actual.Sysctls[i].Value != s.Value {
			ops = append(ops, Op{Sysctl: &s})
		}
	}
	for _, a := range actual.Addrs {
		if !slices.Contains(want.Addrs, a) {
			ops = append(ops, Op{Remove: true, Addr: &a})
		}
	}
	for _, a := range want.Addrs {
		if !slices.Contains(actual.Addrs, a) {
			ops = append(ops, Op{Addr: &a})
		}
	}
	if deviceOps := planDevice(want.Device, actual.Device); len(deviceOps) > 0 {
		ops = append(ops, deviceOps...)
		// A new device has no entries, and the routes of the old one went with it.
		actual.Neighbours, actual.Forwards = nil, nil
		gone := func(r Route) bool { return actual.Device != nil && r.Device == actual.Device.Name }
		actual.Routes = slices.DeleteFunc(slices.Clone(actual.Routes), gone)
	}
	forward := func(v *Forward, remove bool) Op { return Op{Remove: remove, Forward: v} }
	neighbour := func(v *Neighbour, remove bool) Op { return Op{Remove: remove, Neighbour: v} }
	ops = append(ops, planSets(want.Forwards, actual.Forwards, forward)...)
	ops = append(ops, planSets(want.Neighbours, actual.Neighbours, neighbour)...)
	return append(ops, planRoutes(want.Routes, actual.Routes)...)
}

func planDevice(want, actual *Device) []Op {
	switch {
	case want == nil && actual == nil, want != nil && actual != nil && *want == *actual:
		return nil
	case want == nil:
		return []Op{{Remove: true, Device: actual}}
	case actual == nil:
		return []Op{{Device: want}}
	}
	return []Op{{Remove: true, Device: actual}, {Device: want}}
}

// planSets removes before it adds: forwarding and neighbour entries are keyed by one half of their value.
func planSets[T comparable](want, actual []T, op func(v *T, remove bool) Op) []Op {
	var ops []Op
	for _, a := range actual {
		if !slices.Contains(want, a) {
			ops = append(ops, op(&a, true))
		}
	}
	for _, w := range want {
		if !slices.Contains(actual, w) {
			ops = append(ops, op(&w, false))
		}
	}
	return ops
}

// planRoutes changes routes in place where the destination stays, so that no packet meets a gap.
func planRoutes(want, actual []Route) []Op {
	var ops []Op
	for _, w := range want {
		if !slices.Contains(actual, w) {
			ops = append(ops, Op{Route: &w})
		}
	}
	for _, a := range actual {
		kept := slices.ContainsFunc(want, func(w Route) bool { return w.Dst == a.Dst })
		if !kept {
			ops = append(ops, Op{Remove: true, Route: &a})
		}
	}
	return ops
}
