package discovery

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func endpointSlice() *api.Resource {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return meta.Entry[*discoveryv1.EndpointSlice]{
		Group:   discoveryv1.GroupName,
		Version: "v1", Kind: "EndpointSlice", Plural: "endpointslices",
		Namespaced: true,
		New:        meta.New[discoveryv1.EndpointSlice],
		NewList:    meta.Empty[discoveryv1.EndpointSliceList],
		Path:       "endpointslices",
		Default:    defaultEndpointSlice,
		PrepareCreate: func(s *discoveryv1.EndpointSlice) {
			s.Generation = 1
			dropTopology(s, nil)
		},
		PrepareUpdate: func(s, old *discoveryv1.EndpointSlice) {
			if !sameContent(s, old) || !equality.Semantic.DeepEqual(s.Labels, old.Labels) {
				s.Generation++
			}
			if !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
				dropTopology(s, old)
			}
		},
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("AddressType", doc["addressType"]),
			meta.Column("Ports", doc["ports"]),
			meta.Column("Endpoints", doc["endpoints"]),
			meta.AgeColumn(),
		},
		Row: func(s *discoveryv1.EndpointSlice, now time.Time) []any {
			return []any{s.Name, string(s.AddressType), portsText(s), meta.Few(addresses(s), 3), meta.Age(s, now)}
		},
		Indexes:        map[string]func(*discoveryv1.EndpointSlice) []string{api.IndexService: serviceOf},
		Validate:       validateSlice,
		ValidateUpdate: validateSliceUpdate,
		Warnings:       warnSlice,
	}.Resource()
}

// serviceOf returns "namespace/name" of the service that the slice's label names.
func serviceOf(s *discoveryv1.EndpointSlice) []string {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" {
		return nil
	}
	return []string{s.Namespace + "/" + name}
}

func defaultEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == nil {
			p.Name = new(string)
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
	}
}

func sameContent(a, b *discoveryv1.EndpointSlice) bool {
	return a.AddressType == b.AddressType && equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) &&
		equality.Semantic.DeepEqual(a.Ports, b.Ports)
}

// dropTopology removes the topology field of older versions, which new objects cannot set. An endpoint that a client of an older
// version placed on a node keeps the node's name.
func dropTopology(s, old *discoveryv1.EndpointSlice) {
	known := map[string]bool{}
	if old != nil {
		for i := range old.Endpoints {
			if node, ok := old.Endpoints[i].DeprecatedTopology[corev1.LabelHostname]; ok {
				known[node] = true
			}
		}
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if node := e.DeprecatedTopology[corev1.LabelHostname]; e.NodeName == nil && known[node] &&
			len(meta.DNSSubdomain(node, false)) == 0 {
			e.NodeName = &node
		}
		e.DeprecatedTopology = nil
	}
}

func portsText(s *discoveryv1.EndpointSlice) string {
	all := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		switch {
		case p.Port != nil:
			all[i] = strconv.Itoa(int(*p.Port))
		case p.Name != nil:
			all[i] = *p.Name
		default:
			all[i] = "*"
		}
	}
	return meta.Few(all, 3)
}

func addresses(s *discoveryv1.EndpointSlice) []string {
	var all []string
	for i := range s.Endpoints {
		all = append(all, s.Endpoints[i].Addresses...)
	}
	return all
}
