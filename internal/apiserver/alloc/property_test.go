package alloc

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// draws makes services and changes of them.
type draws struct{ t *rapid.T }

func pick[T any](d draws, what string, from ...T) T { return rapid.SampledFrom(from).Draw(d.t, what) }

func (d draws) service(name string) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "n", name
	s.Spec.Type = pick(d, "type", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer,
		corev1.ServiceTypeExternalName)
	s.Spec.Selector = map[string]string{"a": "b"}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		s.Spec.ExternalName = "example.com"
		return s
	}
	d.ports(s)
	if ip := pick(d, "ip", "", "", "", "None", "10.0.0.1", "10.0.0.5", "10.0.0.15", "10.9.9.9", "fd00::3"); ip != "" {
		s.Spec.ClusterIP = ip
	}
	if policy := pick(d, "policy", "", corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack,
		corev1.IPFamilyPolicyRequireDualStack); policy != "" {
		s.Spec.IPFamilyPolicy = &policy
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && rapid.Bool().Draw(d.t, "local") {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	return s
}

func (d draws) ports(s *corev1.Service) {
	s.Spec.Ports = nil
	for i := range rapid.IntRange(1, 3).Draw(d.t, "ports") {
		p := corev1.ServicePort{
			Name: fmt.Sprint("p", i), Port: int32(80 + i/2), TargetPort: intstr.FromInt32(80),
			Protocol: []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}[i%2],
		}
		if needsNodePorts(s) {
			p.NodePort = pick[int32](d, "node port", 0, 0, 0, 30000, 30007, 29999)
		}
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
}

// change makes an update of a stored service, as a client does that leaves out or clears some fields.
func (d draws) change(s *corev1.Service) *corev1.Service {
	c := s.DeepCopy()
	switch pick(d, "change", "nothing", "type", "ports", "forget", "policy") {
	case "type":
		c.Spec.Type = pick(d, "type", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeExternalName)
		switch c.Spec.Type {
		case corev1.ServiceTypeExternalName:
			c.Spec.ClusterIP, c.Spec.ClusterIPs, c.Spec.IPFamilies, c.Spec.IPFamilyPolicy = "", nil, nil, nil
		case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
			if c.Spec.ClusterIP == "None" {
				c.Spec.Type = corev1.ServiceTypeClusterIP
			}
		}
		c.Spec.HealthCheckNodePort, c.Spec.ExternalTrafficPolicy = 0, ""
		if !needsNodePorts(c) {
			for i := range c.Spec.Ports {
				c.Spec.Ports[i].NodePort = 0
			}
		}
	case "ports":
		d.ports(c)
	case "forget":
		c.Spec.ClusterIP, c.Spec.ClusterIPs = "", nil
		for i := range c.Spec.Ports {
			c.Spec.Ports[i].NodePort = 0
		}
	case "policy":
		policy := pick(d, "policy", corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyRequireDualStack)
		c.Spec.IPFamilyPolicy = &policy
	}
	return c
}

// TestNothingIsSharedOrLeaked: whatever two servers do to services, and however their writes cross, no two services have the
// same address or node port, and what is held is exactly what is used.
func TestNothingIsSharedOrLeaked(t *testing.T) {
	ports := PortRange{First: 30000, Last: 30019}
	rapid.Check(t, func(t *rapid.T) {
		d := draws{t}
		w := newWorld(t, func(n uint64) uint64 { return rapid.Uint64Range(0, n-1).Draw(t, "random") })
		cidrs := []string{"10.0.0.0/28"}
		if rapid.Bool().Draw(t, "dual") {
			cidrs = append(cidrs, "fd00::/124")
		}
		servers := []*Services{w.server(ports, cidrs...), w.server(ports, cidrs...)}
		var step func(server int, nested bool)
		step = func(server int, nested bool) {
			var meanwhile func()
			if !nested && rapid.Bool().Draw(t, "crossed") {
				meanwhile = func() { step(1-server, true) }
			}
			name := pick(d, "name", "a", "b", "c", "d", "e", "f", "g", "h")
			var old *corev1.Service
			for _, s := range w.services() {
				if s.Name == name {
					old = s
				}
			}
			var obj *corev1.Service
			switch {
			case old == nil:
				obj = d.service(name)
			case rapid.IntRange(0, 2).Draw(t, "delete") > 0:
				obj = d.change(old)
			}
			_ = w.write(servers[server], obj, old, meanwhile) // refusals are fine, leaks are not
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			step(rapid.IntRange(0, 1).Draw(t, "server"), false)
			w.check(ports)
		}
	})
}
