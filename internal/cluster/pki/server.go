package pki

import (
	"crypto"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"
)

// ServerSpec says what a server's certificates must name.
type ServerSpec struct {
	// Dir is where everything is kept.
	Dir string
	// ServerURL is how this machine's own kubeconfigs reach the API server.
	ServerURL string
	// Names and Addresses are what clients may call the API server, besides what every cluster has: localhost, the names of
	// the service "kubernetes" and the first address of the service range.
	Names     []string
	Addresses []netip.Addr
	// ClusterDomain is the cluster's DNS domain, such as cluster.local.
	ClusterDomain string
	// ServiceCIDR is the range of service addresses.
	ServiceCIDR netip.Prefix
	// NodeName and NodeAddresses are those of the server's own agent; without a name it has none.
	NodeName      string
	NodeAddresses []netip.Addr
}

// ServerFiles are a server's certificates, keys and kubeconfigs.
type ServerFiles struct {
	CA           *Authority
	FrontProxyCA *Authority
	// CAFile and FrontProxyCAFile are the authorities' certificates.
	CAFile, FrontProxyCAFile string
	// Serving is the API server's own pair; the authority follows the leaf in its file, which is how an agent that joins
	// gets to see it.
	Serving Pair
	// KubeletClient is what the API server shows to agents, FrontProxyClient what it shows to aggregated API servers.
	KubeletClient, FrontProxyClient Pair
	// KubeletServing is what the server's own agent shows on its port.
	KubeletServing Pair
	// ServiceAccountKeyFile is the key that signs service account tokens.
	ServiceAccountKeyFile string
	ServiceAccountKey     crypto.Signer
	// Kubeconfigs, for the components of this machine and for the administrator.
	AdminKubeconfig, ControllerManagerKubeconfig, SchedulerKubeconfig, KubeletKubeconfig string
}

// client is one client certificate of the server's machine.
type client struct {
	name, user, group string
	kubeconfig        *string
}

// EnsureServer makes everything that a server needs and is not there, and renews what is old or says something else.
func EnsureServer(spec ServerSpec, now time.Time) (*ServerFiles, error) {
	files := layout(spec.Dir)
	var err error
	if files.CA, err = EnsureAuthority(PairIn(spec.Dir, "ca"), "coracle-ca", now); err != nil {
		return nil, fmt.Errorf("cluster authority: %w", err)
	}
	if files.FrontProxyCA, err = EnsureAuthority(PairIn(spec.Dir, "front-proxy-ca"), "coracle-front-proxy-ca", now); err != nil {
		return nil, fmt.Errorf("front proxy authority: %w", err)
	}
	if files.ServiceAccountKey, err = EnsureKey(files.ServiceAccountKeyFile); err != nil {
		return nil, fmt.Errorf("service account key: %w", err)
	}
	serving, err := servingLeaf(spec)
	if err != nil {
		return nil, err
	}
	if _, err := files.CA.EnsureLeaf(files.Serving, serving, true, now); err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	kubelet := Leaf{CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}, Client: true}
	if _, err := files.CA.EnsureLeaf(files.KubeletClient, kubelet, false, now); err != nil {
		return nil, fmt.Errorf("kubelet client certificate: %w", err)
	}
	proxy := Leaf{CommonName: "front-proxy-client", Client: true}
	if _, err := files.FrontProxyCA.EnsureLeaf(files.FrontProxyClient, proxy, false, now); err != nil {
		return nil, fmt.Errorf("front proxy client certificate: %w", err)
	}
	if spec.NodeName != "" {
		leaf := KubeletServingLeaf(spec.NodeName, spec.NodeAddresses)
		if _, err := files.CA.EnsureLeaf(files.KubeletServing, leaf, true, now); err != nil {
			return nil, fmt.Errorf("kubelet serving certificate: %w", err)
		}
	}
	return files, files.ensureClients(spec, now)
}

func layout(dir string) *ServerFiles {
	return &ServerFiles{
		CAFile:                      filepath.Join(dir, "ca.crt"),
		FrontProxyCAFile:            filepath.Join(dir, "front-proxy-ca.crt"),
		Serving:                     PairIn(dir, "apiserver"),
		KubeletClient:               PairIn(dir, "apiserver-kubelet-client"),
		FrontProxyClient:            PairIn(dir, "front-proxy-client"),
		KubeletServing:              PairIn(dir, "kubelet-serving"),
		ServiceAccountKeyFile:       filepath.Join(dir, "service-account.key"),
		AdminKubeconfig:             filepath.Join(dir, "admin.kubeconfig"),
		ControllerManagerKubeconfig: filepath.Join(dir, "controller-manager.kubeconfig"),
		SchedulerKubeconfig:         filepath.Join(dir, "scheduler.kubeconfig"),
		KubeletKubeconfig:           filepath.Join(dir, "kubelet.kubeconfig"),
	}
}

func (f *ServerFiles) ensureClients(spec ServerSpec, now time.Time) error {
	clients := []client{
		{"admin", "kubernetes-admin", "system:masters", &f.AdminKubeconfig},
		{"controller-manager", "system:kube-controller-manager", "", &f.ControllerManagerKubeconfig},
		{"scheduler", "system:kube-scheduler", "", &f.SchedulerKubeconfig},
	}
	if spec.NodeName != "" {
		clients = append(clients, client{"kubelet", NodeUser(spec.NodeName), NodesGroup, &f.KubeletKubeconfig})
	}
	for _, c := range clients {
		leaf := Leaf{CommonName: c.user, Client: true}
		if c.group != "" {
			leaf.Organizations = []string{c.group}
		}
		pair := PairIn(spec.Dir, c.name)
		if _, err := f.CA.EnsureLeaf(pair, leaf, false, now); err != nil {
			return fmt.Errorf("client certificate of %s: %w", c.user, err)
		}
		if err := writeKubeconfigOf(*c.kubeconfig, spec.ServerURL, f.CA.PEM(), pair); err != nil {
			return err
		}
	}
	return nil
}

// NodesGroup is the group of every node's agent.
const NodesGroup = "system:nodes"

// NodeUser returns the user name of a node's agent.
func NodeUser(node string) string { return "system:node:" + node }

// KubeletServingLeaf says what the certificate of an agent's port holds.
func KubeletServingLeaf(node string, addresses []netip.Addr) Leaf {
	return Leaf{
		CommonName: NodeUser(node), Organizations: []string{NodesGroup},
		DNSNames: []string{node}, Addresses: addresses, Server: true,
	}
}

func servingLeaf(spec ServerSpec) (Leaf, error) {
	if !spec.ServiceCIDR.IsValid() {
		return Leaf{}, fmt.Errorf("the service range is missing")
	}
	names := []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + spec.ClusterDomain,
	}
	addresses := []netip.Addr{
		netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), spec.ServiceCIDR.Masked().Addr().Next(),
	}
	return Leaf{
		CommonName: "kube-apiserver", Server: true,
		DNSNames: append(names, spec.Names...), Addresses: append(addresses, spec.Addresses...),
	}, nil
}
