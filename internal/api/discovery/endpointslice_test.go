package discovery

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
)

func TestServiceIndex(t *testing.T) {
	index := endpointSlice().Indexes[api.IndexService]
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: "d", Labels: map[string]string{discoveryv1.LabelServiceName: "s"},
	}}
	if got := index(s); len(got) != 1 || got[0] != "d/s" {
		t.Errorf("got %v", got)
	}
	if got := index(&discoveryv1.EndpointSlice{}); got != nil {
		t.Errorf("a slice without a service is under %v", got)
	}
}

func TestTopologyIsDropped(t *testing.T) {
	at := func(node string) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{DeprecatedTopology: map[string]string{corev1.LabelHostname: node}}
	}
	old := &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{at("known")}}
	s := &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{at("known"), at("forged")}}
	dropTopology(s, old)
	if s.Endpoints[0].NodeName == nil || *s.Endpoints[0].NodeName != "known" {
		t.Error("an endpoint lost its node")
	}
	if s.Endpoints[1].NodeName != nil {
		t.Error("a client chose a node by the old field")
	}
	for _, e := range s.Endpoints {
		if e.DeprecatedTopology != nil {
			t.Error("the old field is still there")
		}
	}
}
