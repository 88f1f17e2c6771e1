package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// Config is what the first objects depend on.
type Config struct {
	// ServiceCIDRs are the ranges of service addresses, one per IP family, the preferred family first.
	ServiceCIDRs []netip.Prefix
	// ServiceIP is the address of the Service "kubernetes", inside the first range; normally its first address.
	ServiceIP netip.Addr
	// Servers are the addresses at which pods reach every running API server, all on one port per address.
	Servers []netip.AddrPort
	// URL is where joining machines reach the API.
	URL string
	// ServingCA, ClientCA and FrontProxyCA are the authorities in PEM. An empty one is left out.
	ServingCA, ClientCA, FrontProxyCA []byte
	// FrontProxyNames are the common names a front proxy's certificate may have; empty: any.
	FrontProxyNames []string
}

func (c *Config) validate() error {
	switch {
	case len(c.ServiceCIDRs) == 0:
		return errors.New("no service address range given")
	case !c.ServiceCIDRs[0].Contains(c.ServiceIP):
		return fmt.Errorf("service address %s is not in the range %s", c.ServiceIP, c.ServiceCIDRs[0])
	case len(c.Servers) == 0:
		return errors.New("no API server address given")
	}
	return nil
}

// Names of first objects.
const (
	kubernetes         = "kubernetes"
	clusterInfo        = "cluster-info"
	authenticationInfo = "extension-apiserver-authentication"
)

func namespaces() []*corev1.Namespace {
	var all []*corev1.Namespace
	for _, name := range []string{
		metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease,
	} {
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return all
}

func priorityClasses() []*schedulingv1.PriorityClass {
	lower := corev1.PreemptLowerPriority
	return []*schedulingv1.PriorityClass{
		{
			ObjectMeta: metav1.ObjectMeta{Name: "system-node-critical"},
			Value:      2000001000, PreemptionPolicy: &lower,
			Description: "Used for system critical pods that must not be moved from their current node.",
		},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "system-cluster-critical"},
			Value:      2000000000, PreemptionPolicy: &lower,
			Description: "Used for system critical pods that must run in the cluster, " +
				"but can be moved to another node if necessary.",
		},
	}
}

func serviceCIDR(cfg *Config) *networkingv1.ServiceCIDR {
	obj := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: kubernetes}}
	for _, prefix := range cfg.ServiceCIDRs {
		obj.Spec.CIDRs = append(obj.Spec.CIDRs, prefix.Masked().String())
	}
	return obj
}

func kubernetesService(cfg *Config) *corev1.Service {
	single := corev1.IPFamilyPolicySingleStack
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: kubernetes,
			Labels: map[string]string{"provider": kubernetes, "component": "apiserver"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: cfg.ServiceIP.String(), ClusterIPs: []string{cfg.ServiceIP.String()},
			IPFamilies: []corev1.IPFamily{familyOf(cfg.ServiceIP)}, IPFamilyPolicy: &single,
			Type: corev1.ServiceTypeClusterIP, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{
				Name: "https", Protocol: corev1.ProtocolTCP, Port: 443,
				TargetPort: intstr.FromInt32(int32(cfg.Servers[0].Port())),
			}},
		},
	}
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// Endpoints returns the endpoints of the Service "kubernetes" for the given servers, of the family of the first one. They have
// no selector to make them: the servers tell of themselves.
func Endpoints(servers []netip.AddrPort) (*corev1.Endpoints, *discoveryv1.EndpointSlice) { //nolint:staticcheck // still served
	name, port, tcp, ready := "https", int32(servers[0].Port()), corev1.ProtocolTCP, true
	meta := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: kubernetes}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressType(familyOf(servers[0].Addr())),
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: kubernetes}
	subset := corev1.EndpointSubset{Ports: []corev1.EndpointPort{{Name: name, Port: port, Protocol: tcp}}}
	for _, server := range servers {
		if server.Addr().Is4() != servers[0].Addr().Is4() || server.Port() != servers[0].Port() {
			continue // one slice has one family and one port
		}
		address := server.Addr().String()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
		subset.Addresses = append(subset.Addresses, corev1.EndpointAddress{IP: address})
	}
	endpoints := &corev1.Endpoints{ObjectMeta: meta, Subsets: []corev1.EndpointSubset{subset}}
	endpoints.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}
	return endpoints, slice
}

// authenticationConfigMap tells extension API servers whom to believe.
func authenticationConfigMap(cfg *Config) (*corev1.ConfigMap, error) {
	data := map[string]string{}
	if len(cfg.ClientCA) > 0 {
		data["client-ca-file"] = string(cfg.ClientCA)
	}
	if len(cfg.FrontProxyCA) > 0 {
		data["requestheader-client-ca-file"] = string(cfg.FrontProxyCA)
		for key, list := range map[string][]string{
			"requestheader-allowed-names":        append([]string{}, cfg.FrontProxyNames...),
			"requestheader-username-headers":     {"X-Remote-User"},
			"requestheader-uid-headers":          {"X-Remote-Uid"},
			"requestheader-group-headers":        {"X-Remote-Group"},
			"requestheader-extra-headers-prefix": {"X-Remote-Extra-"},
		} {
			text, err := json.Marshal(list)
			if err != nil {
				return nil, fmt.Errorf("encoding %s: %w", key, err)
			}
			data[key] = string(text)
		}
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: authenticationInfo}, Data: data,
	}, nil
}

// clusterInfoConfigMap is a kubeconfig without a user: where the API is and which authority signs its certificate. Everyone may
// read it; a joining machine checks it against what its token says.
func clusterInfoConfigMap(cfg *Config) (*corev1.ConfigMap, error) {
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "preferences": map[string]any{},
		"clusters": []any{map[string]any{
			"name":    "",
			"cluster": map[string]any{"server": cfg.URL, "certificate-authority-data": cfg.ServingCA},
		}},
		"contexts": nil, "current-context": "", "users": nil,
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding cluster-info: %w", err)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: clusterInfo},
		Data:       map[string]string{"kubeconfig": string(text)},
	}, nil
}
