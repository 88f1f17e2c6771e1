package endpointslice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// Reconcile implements reconcile.Controller. Slices of a service that is gone are garbage collection's concern.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	svc, ok := reconcile.Get[*corev1.Service](v, kinds.Services(), key.Namespace, key.Name)
	if !ok || !selects(svc) {
		return p, nil
	}
	existing := map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice{}
	var last time.Time
	for s := range reconcile.Index[*discoveryv1.EndpointSlice](v, kinds.EndpointSlices(), api.IndexService, key.String()) {
		if s.Labels[discoveryv1.LabelManagedBy] != managedBy || s.DeletionTimestamp != nil {
			continue
		}
		existing[s.AddressType] = append(existing[s.AddressType], s)
		if t := published(s.Annotations); t.After(last) {
			last = t
		}
	}
	chosen := selected(v, svc, true)
	trigger := triggerTime(svc, chosen, last)
	var writes []reconcile.Write
	for _, family := range familiesOf(svc) {
		groups, skipped := group(v, svc, chosen, family)
		if skipped {
			p.Again(time.Second) // a pod's node is not in the view yet
		}
		c := changesFor(svc, family, groups, existing[family])
		writes = append(writes, c.writes(svc, trigger)...)
		delete(existing, family)
	}
	for _, family := range slices.Sorted(maps.Keys(existing)) {
		for _, s := range existing[family] { // a family that the service no longer has
			writes = append(writes, reconcile.Deleting(kinds.EndpointSlices(), s))
		}
	}
	p.Add(writes...)
	return p, nil
}

// portGroup is the endpoints that have the same ports; slices hold one set of ports each.
type portGroup struct {
	ports []discoveryv1.EndpointPort
	want  []discoveryv1.Endpoint
}

// group makes the wanted endpoints of one family. skipped tells that a pod was left out because its node is not known.
func group(v reconcile.View, svc *corev1.Service, chosen []*corev1.Pod, family discoveryv1.AddressType,
) (groups []*portGroup, skipped bool) {
	byPorts := map[string]*portGroup{}
	for _, pod := range chosen {
		ports := portsOf(svc, pod)
		key := portsKey(ports)
		g := byPorts[key]
		if g == nil {
			g = &portGroup{ports: ports}
			byPorts[key] = g
			groups = append(groups, g)
		}
		node, known := reconcile.Get[*corev1.Node](v, kinds.Nodes(), "", pod.Spec.NodeName)
		if !known && !svc.Spec.PublishNotReadyAddresses {
			skipped = true
			continue
		}
		addresses := addressesOf(pod, family)
		if len(addresses) == 0 {
			continue
		}
		zone := ""
		if known {
			zone = node.Labels[corev1.LabelTopologyZone]
		}
		g.want = append(g.want, endpointOf(svc, pod, addresses, zone))
	}
	return groups, skipped
}

func endpointOf(svc *corev1.Service, pod *corev1.Pod, addresses []string, zone string) discoveryv1.Endpoint {
	serving, terminating := pods.Ready(pod), pod.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || (serving && !terminating)
	e := discoveryv1.Endpoint{
		Addresses:  addresses,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		e.NodeName = &pod.Spec.NodeName
	}
	if zone != "" {
		e.Zone = &zone
	}
	if name := hostnameOf(pod, svc); name != "" {
		e.Hostname = &name
	}
	e.Hints = hintsFor(svc, e)
	return e
}

// hintsFor tells proxies to prefer endpoints near the client when the service asks for that.
func hintsFor(svc *corev1.Service, e discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	d := svc.Spec.TrafficDistribution
	if d == nil || !*e.Conditions.Ready {
		return nil
	}
	var h discoveryv1.EndpointHints
	switch *d {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		if e.NodeName != nil {
			h.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
		}
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
	default:
		return nil
	}
	if e.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	if h.ForNodes == nil && h.ForZones == nil {
		return nil
	}
	return &h
}

func portsOf(svc *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if n, ok := portOf(pod, sp); ok {
			ports = append(ports, discoveryv1.EndpointPort{
				Name: &sp.Name, Port: &n, Protocol: &sp.Protocol, AppProtocol: sp.AppProtocol,
			})
		}
	}
	return ports
}

// portsKey is equal for equal sets of ports.
func portsKey(ports []discoveryv1.EndpointPort) string {
	var parts []string
	for _, p := range ports {
		var name, app string
		protocol, number := corev1.ProtocolTCP, int32(0)
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if p.Port != nil {
			number = *p.Port
		}
		if p.AppProtocol != nil {
			app = *p.AppProtocol
		}
		parts = append(parts, fmt.Sprintf("%q %s %d %q", name, protocol, number, app))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// changesFor packs every group of ports and makes sure that the service has at least one slice of the family.
func changesFor(svc *corev1.Service, family discoveryv1.AddressType, groups []*portGroup,
	existing []*discoveryv1.EndpointSlice,
) changes {
	var all changes
	byPorts := map[string][]*discoveryv1.EndpointSlice{}
	var order []string
	for _, s := range existing {
		if !ownedBy(s, svc) {
			all.remove = append(all.remove, s)
			continue
		}
		key := portsKey(s.Ports)
		if byPorts[key] == nil {
			order = append(order, key)
		}
		byPorts[key] = append(byPorts[key], s)
	}
	for _, g := range groups {
		key := portsKey(g.ports)
		all.join(pack(byPorts[key], g.want, func() *discoveryv1.EndpointSlice { return newSlice(svc, family, g.ports) }))
		delete(byPorts, key)
	}
	for _, key := range order {
		all.remove = append(all.remove, byPorts[key]...) // ports that nothing has any more
	}
	if len(all.create)+len(all.update)+len(all.keep) == 0 {
		all.keepPlaceholder(newSlice(svc, family, []discoveryv1.EndpointPort{}))
	}
	all.reuse()
	return all
}

func ownedBy(s *discoveryv1.EndpointSlice, svc *corev1.Service) bool {
	return slices.ContainsFunc(s.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.UID == svc.UID && r.Kind == "Service" && r.APIVersion == "v1"
	})
}

func newSlice(svc *corev1.Service, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	prefix := svc.Name + "-"
	if len(apivalidation.NameIsDNSSubdomain(prefix, true)) > 0 {
		prefix = svc.Name
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: prefix, Namespace: svc.Namespace, Labels: labelsFor(svc),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, kinds.Service())},
		},
		AddressType: family, Ports: ports, Endpoints: []discoveryv1.Endpoint{},
	}
}

// labelsFor returns the labels of the service's slices: the service's own, but for those that mean something on a slice.
func labelsFor(svc *corev1.Service) map[string]string {
	l := map[string]string{}
	for k, v := range svc.Labels {
		if k != discoveryv1.LabelServiceName && k != discoveryv1.LabelManagedBy && k != corev1.IsHeadlessService {
			l[k] = v
		}
	}
	if headless(svc) {
		l[corev1.IsHeadlessService] = ""
	}
	l[discoveryv1.LabelServiceName], l[discoveryv1.LabelManagedBy] = svc.Name, managedBy
	return l
}

// writes turns the changes into writes. Slices that stay are rewritten only when the service's labels changed.
func (c changes) writes(svc *corev1.Service, trigger time.Time) []reconcile.Write {
	var all []reconcile.Write
	wanted := labelsFor(svc)
	for _, s := range c.create {
		s.Annotations = publish(s.Annotations, trigger)
		all = append(all, reconcile.Creating(kinds.EndpointSlices(), s))
	}
	for _, s := range c.update {
		s.Labels, s.Annotations = wanted, publish(s.Annotations, trigger)
		all = append(all, reconcile.Updating(kinds.EndpointSlices(), s))
	}
	for _, s := range c.keep {
		if !equality.Semantic.DeepEqual(s.Labels, wanted) {
			s = s.DeepCopy()
			s.Labels = wanted
			all = append(all, reconcile.Updating(kinds.EndpointSlices(), s))
		}
	}
	for _, s := range c.remove {
		all = append(all, reconcile.Deleting(kinds.EndpointSlices(), s))
	}
	slices.SortStableFunc(all, func(a, b reconcile.Write) int { return cmp.Compare(a.Verb, b.Verb) })
	return all
}
