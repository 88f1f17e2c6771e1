package endpointslice

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"
)

func endpointNamed(n int) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses: []string{fmt.Sprintf("10.0.%d.%d", n/250, n%250)},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("pod-%d", n)},
	}
}

// TestPack: whatever exists, the slices afterwards hold the wanted endpoints once each, none holds too many, and an endpoint
// that stays is not moved.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var existing []*discoveryv1.EndpointSlice
		home := map[string]string{}
		n := 0
		for i := range rapid.IntRange(0, 4).Draw(t, "slices") {
			s := &discoveryv1.EndpointSlice{}
			s.Name = fmt.Sprintf("slice-%d", i)
			for range rapid.IntRange(0, perSlice).Draw(t, "size") {
				e := endpointNamed(n)
				home[identity(e)] = s.Name
				s.Endpoints = append(s.Endpoints, e)
				n++
			}
			existing = append(existing, s)
		}
		wanted := map[string]bool{}
		var want []discoveryv1.Endpoint
		for i := range n {
			if rapid.IntRange(0, 9).Draw(t, "gone") > 0 {
				want = append(want, endpointNamed(i))
			}
		}
		for i := range rapid.IntRange(0, 250).Draw(t, "new") {
			want = append(want, endpointNamed(10000+i))
		}
		for _, e := range want {
			wanted[identity(e)] = true
		}
		c := pack(existing, want, func() *discoveryv1.EndpointSlice { return &discoveryv1.EndpointSlice{} })
		for _, list := range [][]*discoveryv1.EndpointSlice{c.create, c.update, c.keep} {
			for _, s := range list {
				if len(s.Endpoints) == 0 || len(s.Endpoints) > perSlice {
					t.Fatalf("slice %s holds %d endpoints", s.Name, len(s.Endpoints))
				}
				for _, e := range s.Endpoints {
					id := identity(e)
					if !wanted[id] {
						t.Fatalf("endpoint %s is published twice or not wanted", id)
					}
					delete(wanted, id)
					if was := home[id]; was != "" && was != s.Name {
						t.Fatalf("endpoint %s moved from %s to %s", id, was, s.Name)
					}
				}
			}
		}
		if len(wanted) > 0 {
			t.Fatalf("%d endpoints are not published", len(wanted))
		}
	})
}

func TestPackChangesOneSliceForOnePod(t *testing.T) {
	var existing []*discoveryv1.EndpointSlice
	var want []discoveryv1.Endpoint
	for i := range 3 {
		s := &discoveryv1.EndpointSlice{}
		for j := range 40 {
			s.Endpoints = append(s.Endpoints, endpointNamed(i*40+j))
		}
		want = append(want, s.Endpoints...)
		existing = append(existing, s)
	}
	want[50] = endpointNamed(999) // one pod was replaced
	c := pack(existing, want, func() *discoveryv1.EndpointSlice { return &discoveryv1.EndpointSlice{} })
	if len(c.create) != 0 || len(c.remove) != 0 || len(c.update) != 1 || len(c.keep) != 2 {
		t.Errorf("create %d, remove %d, update %d, keep %d; want one update", len(c.create), len(c.remove), len(c.update), len(c.keep))
	}
}
