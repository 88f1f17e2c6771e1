package admit

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"coracle.dev/coracle/internal/node/pod"
)

// Refusal is why a node does not take a pod.
type Refusal struct {
	Reason, Message string
}

const insufficient = "Pod was rejected: Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d"

// Check returns why the node refuses the pod, or nil. others are the pods that it already runs.
func Check(p *v1.Pod, node *v1.Node, others []*v1.Pod) *Refusal {
	if p.Spec.OS != nil && p.Spec.OS.Name != "" && p.Spec.OS.Name != v1.Linux {
		return &Refusal{"PodOSNotSupported", "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS"}
	}
	for _, check := range []func(*v1.Pod, *v1.Node, []*v1.Pod) *Refusal{resources, affinity, ports, taints} {
		if r := check(p, node, others); r != nil {
			return r
		}
	}
	return nil
}

func resources(p *v1.Pod, node *v1.Node, others []*v1.Pod) *Refusal {
	allocatable := node.Status.Allocatable
	if most, ok := allocatable[v1.ResourcePods]; ok && int64(len(others))+1 > most.Value() {
		return &Refusal{"OutOfpods", fmt.Sprintf(insufficient, "pods", 1, len(others), most.Value())}
	}
	requests := pod.Requests(p)
	names := make([]string, 0, len(requests))
	for name := range requests {
		names = append(names, string(name))
	}
	slices.Sort(names)
	for _, name := range names {
		resource := v1.ResourceName(name)
		want := requests[resource]
		if want.IsZero() {
			continue
		}
		have, ok := allocatable[resource]
		if !ok && resource != v1.ResourceCPU && resource != v1.ResourceMemory && resource != v1.ResourceEphemeralStorage {
			continue // extended resources that the node does not know are the scheduler's business
		}
		used := want.DeepCopy()
		used.Sub(want)
		for _, o := range others {
			used.Add(pod.Requests(o)[resource])
		}
		sum := used.DeepCopy()
		sum.Add(want)
		if sum.Cmp(have) <= 0 {
			continue
		}
		if resource == v1.ResourceCPU {
			return &Refusal{"OutOfcpu", fmt.Sprintf(insufficient, name, want.MilliValue(), used.MilliValue(), have.MilliValue())}
		}
		return &Refusal{"OutOf" + name, fmt.Sprintf(insufficient, name, want.Value(), used.Value(), have.Value())}
	}
	return nil
}

func affinity(p *v1.Pod, node *v1.Node, _ []*v1.Pod) *Refusal {
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(node); err == nil && ok {
		return nil
	}
	return &Refusal{
		"NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
	}
}

type hostPort struct {
	protocol v1.Protocol
	port     int32
}

func ports(p *v1.Pod, _ *v1.Node, others []*v1.Pod) *Refusal {
	taken := map[hostPort][]string{}
	for _, o := range others {
		eachHostPort(o, func(k hostPort, ip string) { taken[k] = append(taken[k], ip) })
	}
	clash := false
	eachHostPort(p, func(k hostPort, ip string) {
		for _, other := range taken[k] {
			clash = clash || ip == other || ip == "0.0.0.0" || other == "0.0.0.0"
		}
	})
	if !clash {
		return nil
	}
	return &Refusal{
		"NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
	}
}

func eachHostPort(p *v1.Pod, f func(hostPort, string)) {
	for _, e := range pod.Entries(p) {
		if e.Role == pod.Init || e.Role == pod.Ephemeral {
			continue
		}
		for _, port := range e.Ports {
			if port.HostPort == 0 {
				continue
			}
			key, ip := hostPort{port.Protocol, port.HostPort}, port.HostIP
			if key.protocol == "" {
				key.protocol = v1.ProtocolTCP
			}
			if ip == "" {
				ip = "0.0.0.0"
			}
			f(key, ip)
		}
	}
}

func taints(p *v1.Pod, node *v1.Node, _ []*v1.Pod) *Refusal {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != v1.TaintEffectNoExecute {
			continue
		}
		if !slices.ContainsFunc(p.Spec.Tolerations, func(o v1.Toleration) bool { return tolerates(o, t) }) {
			return &Refusal{
				"TaintToleration",
				"Pod was rejected: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
			}
		}
	}
	return nil
}

func tolerates(o v1.Toleration, t *v1.Taint) bool {
	if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
		return false
	}
	switch o.Operator {
	case v1.TolerationOpExists:
		return true
	case "", v1.TolerationOpEqual:
		return o.Key != "" && o.Value == t.Value
	default:
		return false
	}
}
