package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Pod is a pod with what the plugins ask of it worked out once. Immutable.
type Pod struct {
	*corev1.Pod
	// Requests is what the pod asks for; Assumed the same with amounts for containers that ask for nothing.
	Requests Resources
	Assumed  Resources
	Ports    []HostPort
	// Required is the pod's node selector and required node affinity.
	Required nodeaffinity.RequiredNodeAffinity
	// Terms are the pod's affinity and anti-affinity to other pods.
	Terms Terms
}

// HostPort is a port that a pod takes on its node.
type HostPort struct {
	Protocol corev1.Protocol
	IP       string
	Port     int32
}

// anyIP is how a port on all addresses is written.
const anyIP = "0.0.0.0"

// NewPod works a pod out. The object is kept and must not change.
func NewPod(pod *corev1.Pod) *Pod {
	p := &Pod{Pod: pod, Required: nodeaffinity.GetRequiredNodeAffinity(pod), Terms: termsOf(pod)}
	p.Requests, p.Assumed = requestsOf(pod)
	p.Ports = portsOf(pod)
	return p
}

// Priority returns the pod's priority, 0 when it has none.
func (p *Pod) Priority() int32 {
	if p.Spec.Priority != nil {
		return *p.Spec.Priority
	}
	return 0
}

func portsOf(pod *corev1.Pod) []HostPort {
	var ports []HostPort
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			hp := HostPort{Protocol: p.Protocol, IP: p.HostIP, Port: p.HostPort}
			if hp.IP == "" || hp.IP == "::" {
				hp.IP = anyIP
			}
			if hp.Protocol == "" {
				hp.Protocol = corev1.ProtocolTCP
			}
			ports = append(ports, hp)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	for i := range pod.Spec.InitContainers {
		// Only sidecars hold their ports while the pod runs.
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	return ports
}

// Conflicts tells whether two ports can't be held on one node.
func (h HostPort) Conflicts(o HostPort) bool {
	return h.Port == o.Port && h.Protocol == o.Protocol && (h.IP == o.IP || h.IP == anyIP || o.IP == anyIP)
}
