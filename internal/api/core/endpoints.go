package core

import (
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func endpoints() *api.Resource {
	return meta.Entry[*corev1.Endpoints]{
		Version: "v1", Kind: "Endpoints", Plural: "endpoints",
		Short:               []string{"ep"},
		Namespaced:          true,
		New:                 meta.New[corev1.Endpoints],
		NewList:             meta.Empty[corev1.EndpointsList],
		Path:                "services/endpoints",
		Default:             defaultEndpoints,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"]),
			meta.AgeColumn(),
		},
		Row: func(e *corev1.Endpoints, now time.Time) []any {
			return []any{e.Name, endpointAddresses(e), meta.Age(e, now)}
		},
		Validate:       validateEndpoints,
		ValidateUpdate: validateEndpointsUpdate,
		Warnings:       warnEndpoints,
	}.Resource()
}

func defaultEndpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			if p := &e.Subsets[i].Ports[j]; p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
		}
	}
}

func endpointAddresses(e *corev1.Endpoints) string {
	if len(e.Subsets) == 0 {
		return meta.None
	}
	var all []string
	for i := range e.Subsets {
		s := &e.Subsets[i]
		if len(s.Ports) == 0 {
			// A headless service may have no ports.
			for _, a := range s.Addresses {
				all = append(all, a.IP)
			}
		}
		for _, p := range s.Ports {
			for _, a := range s.Addresses {
				all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	if text := meta.Few(all, 3); text != meta.Unset {
		return text
	}
	return ""
}
