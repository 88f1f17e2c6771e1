package endpointslice

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// selected returns the service's pods that have an address, ordered by name. Terminating ones are among them when asked for.
func selected(v reconcile.View, svc *corev1.Service, terminating bool) []*corev1.Pod {
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	var all []*corev1.Pod
	for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), svc.Namespace) {
		if selector.Matches(labels.Set(pod.Labels)) && !pods.Finished(pod) && len(podIPs(pod)) > 0 &&
			(terminating || pod.DeletionTimestamp == nil) {
			all = append(all, pod)
		}
	}
	return all
}

func podIPs(pod *corev1.Pod) []corev1.PodIP {
	if len(pod.Status.PodIPs) == 0 && pod.Status.PodIP != "" {
		return []corev1.PodIP{{IP: pod.Status.PodIP}}
	}
	return pod.Status.PodIPs
}

// addressesOf returns the pod's addresses of one family.
func addressesOf(pod *corev1.Pod, family discoveryv1.AddressType) []string {
	var all []string
	for _, ip := range podIPs(pod) {
		addr, err := netip.ParseAddr(ip.IP)
		if err != nil {
			continue // status is validated; an odd address is no endpoint
		}
		addr = addr.Unmap()
		if addr.Is4() == (family == discoveryv1.AddressTypeIPv4) {
			all = append(all, addr.String())
		}
	}
	return all
}

// familiesOf returns the address types that the service has slices of.
func familiesOf(svc *corev1.Service) []discoveryv1.AddressType {
	var all []discoveryv1.AddressType
	for _, f := range svc.Spec.IPFamilies {
		switch f {
		case corev1.IPv4Protocol:
			all = append(all, discoveryv1.AddressTypeIPv4)
		case corev1.IPv6Protocol:
			all = append(all, discoveryv1.AddressTypeIPv6)
		default: // no family that slices have
		}
	}
	if len(all) > 0 {
		return all
	}
	if addr, err := netip.ParseAddr(svc.Spec.ClusterIP); err == nil {
		if addr.Is6() {
			return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}
		}
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
	}
	return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
}

func headless(svc *corev1.Service) bool {
	return svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone
}

// portOf finds the container port that a service port leads to on this pod: a number as it is, a name among the ports of the
// containers and sidecars.
func portOf(pod *corev1.Pod, port *corev1.ServicePort) (int32, bool) {
	if port.TargetPort.Type == intstr.Int {
		return port.TargetPort.IntVal, true
	}
	find := func(c *corev1.Container) (int32, bool) {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal && p.Protocol == port.Protocol {
				return p.ContainerPort, true
			}
		}
		return 0, false
	}
	for i := range pod.Spec.Containers {
		if n, ok := find(&pod.Spec.Containers[i]); ok {
			return n, true
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if n, ok := find(c); ok {
			return n, true
		}
	}
	return 0, false
}

// hostnameOf returns the pod's DNS name below the service, "" when it has none.
func hostnameOf(pod *corev1.Pod, svc *corev1.Service) string {
	if pod.Spec.Subdomain == svc.Name && pod.Namespace == svc.Namespace {
		return pod.Spec.Hostname
	}
	return ""
}

// triggerTime is the earliest of the changes that are newer than the last published one, as far as objects tell: when the
// service was made, and when pods became ready or stopped being so. Zero when there is none. Consumers measure by it how long
// programming takes.
func triggerTime(svc *corev1.Service, all []*corev1.Pod, published time.Time) time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if t.After(published) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	consider(svc.CreationTimestamp.Time)
	for _, pod := range all {
		if c := pods.Condition(pod, corev1.PodReady); c != nil {
			consider(c.LastTransitionTime.Time)
		}
	}
	return first
}

// published reads the trigger time annotation.
func published(annotations map[string]string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil {
		return time.Time{}
	}
	return t
}

// publish writes the trigger time annotation, or takes it away when no new time is known.
func publish(annotations map[string]string, t time.Time) map[string]string {
	copied := make(map[string]string, len(annotations)+1)
	for k, v := range annotations {
		if k != corev1.EndpointsLastChangeTriggerTime {
			copied[k] = v
		}
	}
	if !t.IsZero() {
		copied[corev1.EndpointsLastChangeTriggerTime] = t.UTC().Format(time.RFC3339Nano)
	}
	if len(copied) == 0 {
		return nil
	}
	return copied
}
