package alloc

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A Service says some things twice (clusterIP and clusterIPs), and clients leave out what was allocated. These functions make
// out what is meant before anything is decided. They change after and never before.

// restoreAllocated gives an update back the allocated values that its client left out.
func restoreAllocated(after, before *corev1.Service) {
	is, was := &after.Spec, &before.Spec
	if needsIP(before) && needsIP(after) {
		if is.ClusterIP == "" {
			is.ClusterIP = was.ClusterIP
		}
		if len(is.ClusterIPs) == 0 {
			is.ClusterIPs = slices.Clone(was.ClusterIPs)
		}
	}
	if needsNodePorts(before) && needsNodePorts(after) {
		restoreNodePorts(is, was)
	}
	if needsHealthPort(before) && needsHealthPort(after) && is.HealthCheckNodePort == 0 {
		is.HealthCheckNodePort = was.HealthCheckNodePort
	}
}

// restoreNodePorts finds a port's former node port by the port's name. One that the update gives to another port is not used.
func restoreNodePorts(is, was *corev1.ServiceSpec) {
	byName := map[string]int32{}
	for _, p := range was.Ports {
		byName[p.Name] = p.NodePort
	}
	for i := range is.Ports {
		p := &is.Ports[i]
		former := byName[p.Name]
		elsewhere := slices.ContainsFunc(is.Ports, func(o corev1.ServicePort) bool { return o.NodePort == former })
		if p.NodePort == 0 && former != 0 && !elsewhere {
			p.NodePort = former
		}
	}
}

// pairClusterIPs brings clusterIP and clusterIPs together where a client that knows only the first set, changed or cleared it.
// before is nil on create.
func pairClusterIPs(after, before *corev1.Service) {
	is := &after.Spec
	if before == nil {
		if is.ClusterIP != "" && len(is.ClusterIPs) == 0 {
			is.ClusterIPs = []string{is.ClusterIP}
		}
		return
	}
	was := &before.Spec
	if len(was.ClusterIPs) > 0 && len(is.ClusterIPs) == 0 && was.ClusterIP == is.ClusterIP {
		is.ClusterIPs = slices.Clone(was.ClusterIPs)
	}
	if was.ClusterIP == is.ClusterIP || !slices.Equal(was.ClusterIPs, is.ClusterIPs) {
		return
	}
	if is.ClusterIP == "" {
		is.ClusterIPs = nil
	} else {
		is.ClusterIPs = []string{is.ClusterIP}
	}
}

func needsIP(s *corev1.Service) bool { return s.Spec.Type != corev1.ServiceTypeExternalName }

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

func needsNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func needsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer &&
		s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// givesNodePorts tells whether ports without a node port get one.
func givesNodePorts(s *corev1.Service) bool {
	give := s.Spec.AllocateLoadBalancerNodePorts
	return s.Spec.Type == corev1.ServiceTypeNodePort ||
		s.Spec.Type == corev1.ServiceTypeLoadBalancer && (give == nil || *give)
}
