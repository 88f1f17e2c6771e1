package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/pki"
)

const etcdURL = "http://127.0.0.1:2379"

func (n *upstreamNode) pki(name string) string {
	return filepath.Join((&config.Common{DataDir: n.agent.DataDir}).ServerPKIDir(), name)
}

func (n *upstreamNode) pair(name string) pki.Pair { return pki.PairIn(n.pki(""), name) }

func (n *upstreamNode) etcdArgs() []string {
	return []string{
		"--name=" + local.NodeName(1), "--data-dir=" + n.data("etcd"),
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=" + local.NodeName(1) + "=http://127.0.0.1:2380",
	}
}

func (n *upstreamNode) apiserverArgs() []string {
	serving, kubelet := n.pair("apiserver"), n.pair("apiserver-kubelet-client")
	return []string{
		"--etcd-servers=" + etcdURL, "--advertise-address=" + local.NodeAddress(1).String(),
		fmt.Sprintf("--secure-port=%d", config.DefaultSecurePort), "--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--client-ca-file=" + n.pair("ca").CertFile,
		"--tls-cert-file=" + serving.CertFile, "--tls-private-key-file=" + serving.KeyFile,
		"--kubelet-client-certificate=" + kubelet.CertFile, "--kubelet-client-key=" + kubelet.KeyFile,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + n.pki(publicKeyFile), "--service-account-signing-key-file=" + n.serviceAccountKey(),
	}
}

func (n *upstreamNode) serviceAccountKey() string { return n.pki("service-account.key") }

// One of each runs, so none needs an election.
func (n *upstreamNode) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + n.pki("controller-manager.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1",
		"--use-service-account-credentials=true", "--root-ca-file=" + n.pair("ca").CertFile,
		"--service-account-private-key-file=" + n.serviceAccountKey(),
		"--cluster-signing-cert-file=" + n.pair("ca").CertFile, "--cluster-signing-key-file=" + n.pair("ca").KeyFile,
		"--allocate-node-cidrs=true", "--cluster-cidr=" + podRange, "--service-cluster-ip-range=" + serviceRange,
	}
}

func (n *upstreamNode) schedulerArgs() []string {
	return []string{"--kubeconfig=" + n.pki("scheduler.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1"}
}

func (n *upstreamNode) kubeletArgs() []string {
	return []string{
		"--config=" + n.data("kubelet.yaml"), "--kubeconfig=" + n.pki("kubelet.kubeconfig"),
		"--hostname-override=" + local.NodeName(1), "--node-ip=" + local.NodeAddress(1).String(),
		"--root-dir=" + n.data("kubelet"),
	}
}

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: $ENDPOINT
clusterDNS: [` + clusterDNS + `]
clusterDomain: cluster.local
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $CA}
authorization: {mode: Webhook}
tlsCertFile: $CERT
tlsPrivateKeyFile: $KEY
`

// The connection tracking limits are the machine's, and read-only in a network namespace.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: ` + podRange + `
clientConnection: {kubeconfig: $KUBECONFIG}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

const networkConfig = `{
  "cniVersion": "1.0.0", "name": "bench",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + nodePodRange + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`

func (n *upstreamNode) writeConfigs() error {
	serving := n.pair("kubelet-serving")
	replace := strings.NewReplacer("$ENDPOINT", n.engine.Endpoint(), "$CA", n.pair("ca").CertFile, "$CERT", serving.CertFile,
		"$KEY", serving.KeyFile, "$KUBECONFIG", n.pki("kube-proxy.kubeconfig"))
	cni := filepath.Join(n.agent.CNIConfDir(), "10-bench.conflist")
	if err := os.MkdirAll(filepath.Dir(cni), 0o755); err != nil {
		return fmt.Errorf("writing configurations: %w", err)
	}
	for path, text := range map[string]string{
		n.data("kubelet.yaml"):    replace.Replace(kubeletConfig),
		n.data("kube-proxy.yaml"): replace.Replace(proxyConfig),
		cni:                       networkConfig,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing configurations: %w", err)
		}
	}
	return nil
}
