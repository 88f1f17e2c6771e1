package endpointslice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

const (
	endpointsManagedBy = "endpoints.kubernetes.io/managed-by"
	endpointsManager   = "endpoint-controller"
	// endpointsMost is how many addresses an Endpoints object holds at most.
	endpointsMost = 1000
)

// EndpointsController keeps the Endpoints object of each service with a selector.
type EndpointsController struct{}

// NewEndpoints returns the controller of Endpoints.
func NewEndpoints() *EndpointsController { return &EndpointsController{} }

// Name implements reconcile.Controller.
func (*EndpointsController) Name() string { return "endpoint-controller" }

// Inputs implements reconcile.Controller.
func (*EndpointsController) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Services(), Keys: reconcile.Self},
		{Resource: kinds.Pods(), Keys: keysOfPod, Relevant: matters},
		{Resource: kinds.Endpoints(), Keys: reconcile.Self},
	}
}

// Outputs implements reconcile.Controller.
func (*EndpointsController) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Endpoints(), Verbs: []client.Verb{client.Create, client.Update, client.Delete}},
	}
}

// Reconcile implements reconcile.Controller. The object of a service that is gone is deleted if it was ours, as it has no
// owner reference.
func (*EndpointsController) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	current, exists := reconcile.Get[*corev1.Endpoints](v, kinds.Endpoints(), key.Namespace, key.Name)
	svc, ok := reconcile.Get[*corev1.Service](v, kinds.Services(), key.Namespace, key.Name)
	if !ok {
		if exists && current.DeletionTimestamp == nil && current.Labels[endpointsManagedBy] == endpointsManager {
			p.Add(reconcile.Deleting(kinds.Endpoints(), current))
		}
		return p, nil
	}
	if !selects(svc) {
		return p, nil
	}
	chosen := selected(v, svc, svc.Spec.PublishNotReadyAddresses)
	wanted := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name}}
	if exists {
		wanted = current.DeepCopy()
	}
	wanted.Subsets = subsetsOf(svc, chosen)
	truncated := truncate(wanted)
	wanted.Labels = endpointsLabels(svc)
	wanted.Annotations = withOverCapacity(wanted.Annotations, truncated)
	if exists && equality.Semantic.DeepEqual(current.Subsets, wanted.Subsets) &&
		equality.Semantic.DeepEqual(current.Labels, wanted.Labels) &&
		current.Annotations[corev1.EndpointsOverCapacity] == wanted.Annotations[corev1.EndpointsOverCapacity] {
		return p, nil
	}
	wanted.Annotations = publish(wanted.Annotations, triggerTime(svc, chosen, published(wanted.Annotations)))
	w := reconcile.Updating(kinds.Endpoints(), wanted)
	reason, verb := "FailedToUpdateEndpoint", "update"
	if !exists {
		w = reconcile.Creating(kinds.Endpoints(), wanted)
		reason, verb = "FailedToCreateEndpoint", "create"
	}
	w.Failed = &reconcile.Event{
		Regarding: reconcile.Ref(corev1.SchemeGroupVersion.WithKind("Endpoints"), wanted), Type: corev1.EventTypeWarning,
		Reason: reason, Message: fmt.Sprintf("Failed to %s endpoint for service %s: {error}", verb, key),
	}
	p.Add(w)
	return p, nil
}

func endpointsLabels(svc *corev1.Service) map[string]string {
	l := map[string]string{}
	for k, v := range svc.Labels {
		if k != corev1.IsHeadlessService {
			l[k] = v
		}
	}
	if headless(svc) {
		l[corev1.IsHeadlessService] = ""
	}
	l[endpointsManagedBy] = endpointsManager
	return l
}

func withOverCapacity(annotations map[string]string, truncated bool) map[string]string {
	copied := map[string]string{}
	for k, v := range annotations {
		if k != corev1.EndpointsOverCapacity {
			copied[k] = v
		}
	}
	if truncated {
		copied[corev1.EndpointsOverCapacity] = "truncated"
	}
	return copied
}

// column is one port and the addresses that have it.
type column struct {
	port            *corev1.EndpointPort // nil: a headless service without ports
	ready, notReady []corev1.EndpointAddress
}

// columnsOf lists every port with its addresses.
func columnsOf(svc *corev1.Service, chosen []*corev1.Pod) []*column {
	family := familiesOf(svc)[0]
	var all []*column
	put := func(port *corev1.EndpointPort, a corev1.EndpointAddress, ready bool) {
		i := slices.IndexFunc(all, func(c *column) bool { return equality.Semantic.DeepEqual(c.port, port) })
		if i < 0 {
			i = len(all)
			all = append(all, &column{port: port})
		}
		if ready {
			all[i].ready = append(all[i].ready, a)
		} else {
			all[i].notReady = append(all[i].notReady, a)
		}
	}
	for _, pod := range chosen {
		a, ok := addressOf(svc, pod, family)
		if !ok {
			continue
		}
		ready := svc.Spec.PublishNotReadyAddresses || pods.Ready(pod)
		if len(svc.Spec.Ports) == 0 && headless(svc) {
			put(nil, a, ready)
		}
		for i := range svc.Spec.Ports {
			sp := &svc.Spec.Ports[i]
			if n, ok := portOf(pod, sp); ok {
				put(&corev1.EndpointPort{Name: sp.Name, Port: n, Protocol: sp.Protocol, AppProtocol: sp.AppProtocol}, a, ready)
			}
		}
	}
	return all
}

// subsetsOf groups the addresses so that the product of a subset's addresses and ports is exactly what exists: ports with
// equal addresses go together.
func subsetsOf(svc *corev1.Service, chosen []*corev1.Pod) []corev1.EndpointSubset {
	merged := map[string]int{}
	subsets := []corev1.EndpointSubset{}
	for _, c := range columnsOf(svc, chosen) {
		id := addressKey(c.ready) + "|" + addressKey(c.notReady)
		i, ok := merged[id]
		if !ok {
			i = len(subsets)
			merged[id] = i
			subsets = append(subsets, corev1.EndpointSubset{Addresses: c.ready, NotReadyAddresses: c.notReady})
		}
		if c.port != nil {
			subsets[i].Ports = append(subsets[i].Ports, *c.port)
		}
	}
	for i := range subsets {
		slices.SortFunc(subsets[i].Ports, func(a, b corev1.EndpointPort) int { return cmp.Compare(portKey(a), portKey(b)) })
	}
	slices.SortFunc(subsets, func(a, b corev1.EndpointSubset) int { return cmp.Compare(subsetKey(a), subsetKey(b)) })
	return subsets
}

func addressOf(svc *corev1.Service, pod *corev1.Pod, family discoveryv1.AddressType) (corev1.EndpointAddress, bool) {
	ips := addressesOf(pod, family)
	if len(ips) == 0 {
		return corev1.EndpointAddress{}, false
	}
	a := corev1.EndpointAddress{
		IP: ips[0], Hostname: hostnameOf(pod, svc),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		a.NodeName = &pod.Spec.NodeName
	}
	return a, true
}

func portKey(p corev1.EndpointPort) string {
	app := ""
	if p.AppProtocol != nil {
		app = *p.AppProtocol
	}
	return fmt.Sprintf("%q %s %05d %q", p.Name, p.Protocol, p.Port, app)
}

func addressKey(all []corev1.EndpointAddress) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s %s,", a.IP, a.TargetRef.UID)
	}
	return b.String()
}

func subsetKey(s corev1.EndpointSubset) string {
	var b strings.Builder
	for _, p := range s.Ports {
		b.WriteString(portKey(p) + ",")
	}
	return b.String() + addressKey(s.Addresses) + "|" + addressKey(s.NotReadyAddresses)
}

// truncate cuts the object to its capacity, ready addresses first, and tells whether it had to.
func truncate(e *corev1.Endpoints) bool {
	room, over := endpointsMost, false
	cut := func(all *[]corev1.EndpointAddress) {
		if len(*all) > room {
			*all, over = (*all)[:room], true
		}
		room -= len(*all)
	}
	for i := range e.Subsets {
		cut(&e.Subsets[i].Addresses)
	}
	for i := range e.Subsets {
		cut(&e.Subsets[i].NotReadyAddresses)
	}
	return over
}
