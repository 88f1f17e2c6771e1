package proxy

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"coracle.dev/coracle/internal/network/nft"
)

// Tracker is the sum of all services' programs and says what changed. It does no I/O. Not safe for concurrent use.
type Tracker struct {
	settings  Settings
	node      Node
	fragments *nft.Fragments
	programs  map[string]Program
	// shrunk are pools that may be remembered with an endpoint they no longer have; udp are addresses whose endpoints changed.
	// Both since the last Take.
	shrunk bool
	udp    map[Frontend]bool
}

// NewTracker starts without services.
func NewTracker(s Settings, node Node) *Tracker {
	return &Tracker{
		settings: s, node: node, fragments: nft.NewFragments(base(s, node)),
		programs: map[string]Program{}, udp: map[Frontend]bool{},
	}
}

// Update compiles one service anew. A nil service is one that is gone.
func (t *Tracker) Update(key string, svc *corev1.Service, endpoints []*discoveryv1.EndpointSlice) {
	old := t.programs[key]
	p := Compile(t.settings, t.node, svc, endpoints)
	t.compare(old, p)
	if len(p.Fragment.Elements) == 0 {
		delete(t.programs, key)
		t.fragments.Delete(key)
		return
	}
	t.programs[key] = p
	t.fragments.Set(key, p.Fragment)
}

func (t *Tracker) compare(old, p Program) {
	for id, had := range old.Affinity {
		if slices.ContainsFunc(had, func(b Backend) bool { return !slices.Contains(p.Affinity[id], b) }) {
			t.shrunk = true
		}
	}
	for front, had := range old.UDP {
		if !slices.Equal(had, p.UDP[front]) {
			t.udp[front] = true
		}
	}
	for front := range p.UDP {
		if _, had := old.UDP[front]; !had {
			t.udp[front] = true
		}
	}
}

// Effects are what remains to be done after a change of the table was applied.
type Effects struct {
	// ForgetClients: remembered clients of endpoints that are gone must be forgotten.
	ForgetClients bool
	// UDP are addresses whose tracked connections must be checked.
	UDP map[Frontend]bool
	// Health are the numbers of local endpoints by health check port and service.
	Health map[int]Health
}

// Health is what a health check port answers.
type Health struct {
	Service string // namespace/name
	Local   int
}

// Take returns what changed since the last call.
func (t *Tracker) Take() (*nft.Change, Effects) {
	e := Effects{ForgetClients: t.shrunk, UDP: t.udp, Health: map[int]Health{}}
	t.shrunk, t.udp = false, map[Frontend]bool{}
	for _, key := range slices.Sorted(maps.Keys(t.programs)) {
		if p := t.programs[key]; p.HealthPort != 0 {
			e.Health[p.HealthPort] = Health{key, p.Local}
		}
	}
	return t.fragments.Take(), e
}

// Table returns the whole table as of the last Take. It must not be changed.
func (t *Tracker) Table() *nft.Table { return t.fragments.Table() }

// Keys returns the services that contribute something.
func (t *Tracker) Keys() []string { return t.fragments.Owners() }

// Stale returns those of a set's remembered clients that lead to endpoints which are gone.
func (t *Tracker) Stale(set string, remembered []nft.Element) []nft.Element {
	if len(remembered) == 0 {
		return nil
	}
	valid, keyLen := map[nft.Tuple]bool{}, 0
	for _, p := range t.programs {
		for clients, targets := range p.Affinity {
			if clients.Set != set {
				continue
			}
			keyLen = len(clients.Key)
			for _, b := range targets {
				valid[clients.Key+nft.Tuple("").Addr(b.IP).Port(b.Port)] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(remembered), func(e nft.Element) bool {
		return len(e.Key) > keyLen && valid[e.Key[:keyLen]+e.Data]
	})
}

// Flow is a tracked UDP connection: where the client sent to, and who answers.
type Flow struct {
	To     Backend
	Answer Backend
}

// StaleFlow returns a function that tells which tracked connections to the given addresses lead where the service no longer is.
func (t *Tracker) StaleFlow(fronts map[Frontend]bool) func(Flow) bool {
	now := map[Frontend][]Backend{}
	for _, p := range t.programs {
		for front, targets := range p.UDP {
			if fronts[front] {
				now[front] = append(now[front], targets...)
			}
		}
	}
	return func(f Flow) bool {
		v6 := f.To.IP.Is6()
		front := Frontend{IP: f.To.IP, Port: f.To.Port, V6: v6}
		if !fronts[front] {
			front.IP = Backend{}.IP // a node port, by whatever address
			if !fronts[front] || f.Answer == f.To {
				return false
			}
		}
		if f.Answer == f.To {
			return len(now[front]) > 0 // it went through untranslated, before there were endpoints
		}
		return !slices.Contains(now[front], f.Answer)
	}
}
