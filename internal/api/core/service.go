package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func service() *api.Resource {
	return meta.Entry[*corev1.Service]{
		Version: "v1", Kind: "Service", Plural: "services",
		Short:      []string{"svc"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[corev1.Service],
		NewList:    meta.Empty[corev1.ServiceList],
		Path:       "services/specs",
		Subresources: []api.Subresource{
			meta.Stream("proxy", corev1.SchemeGroupVersion.WithKind("ServiceProxyOptions"), meta.ProxyVerbs()...),
			meta.Status(corev1.SchemeGroupVersion.WithKind("Service"), meta.Empty[corev1.Service]),
		},
		Default:             defaultService,
		PrepareCreate:       func(s *corev1.Service) { s.Status = corev1.ServiceStatus{} },
		PrepareUpdate:       prepareServiceUpdate,
		PrepareStatus:       func(s, old *corev1.Service) { s.Spec = old.Spec },
		Name:                meta.DNSLabel,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             serviceColumns(),
		Row:                 serviceRow,
		Fields: func(s *corev1.Service) fields.Set {
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		},
		Validate:       validateService,
		ValidateUpdate: validateServiceUpdate,
		ValidateStatus: validateServiceStatus,
		Warnings:       warnService,
	}.Resource()
}

func serviceColumns() []metav1.TableColumnDefinition {
	spec := corev1.ServiceSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Type", spec["type"]),
		meta.Column("Cluster-IP", spec["clusterIP"]),
		meta.Column("External-IP", spec["externalIPs"]),
		meta.Column("Port(s)", spec["ports"]),
		meta.AgeColumn(),
		meta.Wide(meta.Column("Selector", spec["selector"])),
	}
}

func serviceRow(s *corev1.Service, now time.Time) []any {
	cluster := meta.None
	if len(s.Spec.ClusterIPs) > 0 {
		cluster = s.Spec.ClusterIPs[0]
	}
	ports := make([]string, len(s.Spec.Ports))
	for i, p := range s.Spec.Ports {
		ports[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			ports[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
	}
	return []any{
		s.Name, string(s.Spec.Type), cluster, externalAddresses(s), meta.OrNone(strings.Join(ports, ",")), meta.Age(s, now),
		labels.FormatLabels(s.Spec.Selector),
	}
}

func externalAddresses(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		if len(s.Spec.ExternalIPs) == 0 {
			return meta.None
		}
		return strings.Join(s.Spec.ExternalIPs, ",")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var all []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				all = append(all, in.IP)
			} else if in.Hostname != "" {
				all = append(all, in.Hostname)
			}
		}
		slices.Sort(all)
		all = append(slices.Compact(all), s.Spec.ExternalIPs...)
		if len(all) == 0 {
			return "<pending>"
		}
		return strings.Join(all, ",")
	}
	return meta.Unknown
}
