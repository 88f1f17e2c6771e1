package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api/meta"
)

// defaultService fills in a service. Addresses, families and node ports are the allocator's.
func defaultService(s *corev1.Service) {
	spec := &s.Spec
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	defaultAffinity(spec)
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if ExternallyAccessible(s) && spec.ExternalTrafficPolicy == "" {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	if spec.InternalTrafficPolicy == nil && slices.Contains([]corev1.ServiceType{
		corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer,
	}, spec.Type) {
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	if spec.AllocateLoadBalancerNodePorts == nil {
		spec.AllocateLoadBalancerNodePorts = new(true)
	}
	for i := range s.Status.LoadBalancer.Ingress {
		if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" && in.IPMode == nil {
			in.IPMode = new(corev1.LoadBalancerIPModeVIP)
		}
	}
}

func defaultAffinity(spec *corev1.ServiceSpec) {
	switch spec.SessionAffinity {
	case "":
		spec.SessionAffinity = corev1.ServiceAffinityNone
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityNone:
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if c := spec.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{
				ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(corev1.DefaultClientIPServiceAffinitySeconds)},
			}
		}
	}
}

// ExternallyAccessible tells whether traffic from outside the cluster can reach the service.
func ExternallyAccessible(s *corev1.Service) bool {
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeClusterIP:
		return len(s.Spec.ExternalIPs) > 0
	default:
		return false
	}
}

// prepareServiceUpdate keeps the status, and drops what the old type had and the new one cannot have, unless the client changed
// it: so that changing only the type of a service works.
func prepareServiceUpdate(s, old *corev1.Service) {
	s.Status = old.Status
	was, is := &old.Spec, &s.Spec
	if was.Type != corev1.ServiceTypeExternalName && is.Type == corev1.ServiceTypeExternalName {
		if was.ClusterIP == is.ClusterIP && slices.Equal(was.ClusterIPs, is.ClusterIPs) {
			is.ClusterIP, is.ClusterIPs = "", nil
		}
		if slices.Equal(was.IPFamilies, is.IPFamilies) {
			is.IPFamilies = nil
		}
		if meta.Deref(was.IPFamilyPolicy) == meta.Deref(is.IPFamilyPolicy) {
			is.IPFamilyPolicy = nil
		}
	}
	if hasNodePorts(was) && !hasNodePorts(is) && nodePortsWithin(is, was) {
		for i := range is.Ports {
			is.Ports[i].NodePort = 0
		}
	}
	if hasHealthPort(was) && !hasHealthPort(is) && was.HealthCheckNodePort == is.HealthCheckNodePort {
		is.HealthCheckNodePort = 0
	}
	if was.Type == corev1.ServiceTypeLoadBalancer && is.Type != corev1.ServiceTypeLoadBalancer {
		if same(was.AllocateLoadBalancerNodePorts, is.AllocateLoadBalancerNodePorts) {
			is.AllocateLoadBalancerNodePorts = nil
		}
		if same(was.LoadBalancerClass, is.LoadBalancerClass) {
			is.LoadBalancerClass = nil
		}
	}
	if ExternallyAccessible(old) && !ExternallyAccessible(s) && was.ExternalTrafficPolicy == is.ExternalTrafficPolicy {
		is.ExternalTrafficPolicy = ""
	}
	if is.Type != corev1.ServiceTypeLoadBalancer {
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
}

func same[T comparable](a, b *T) bool { return a != nil && b != nil && *a == *b }

func hasNodePorts(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer
}

func hasHealthPort(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeLoadBalancer && s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// nodePortsWithin tells whether every node port of a is one of b.
func nodePortsWithin(a, b *corev1.ServiceSpec) bool {
	for _, p := range a.Ports {
		if p.NodePort != 0 && !slices.ContainsFunc(b.Ports, func(q corev1.ServicePort) bool { return q.NodePort == p.NodePort }) {
			return false
		}
	}
	return true
}
