package pki

import (
	"bytes"
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig is what a kubeconfig for one cluster and one user holds.
type Kubeconfig struct {
	// Cluster and User are the names of the entries; the context is called like the cluster.
	Cluster, User string
	Server        string
	CA            []byte // PEM
	// Either a client certificate and its key in PEM, or the files where they are kept and renewed, or a token.
	Cert, Key         []byte
	CertFile, KeyFile string
	Token             string
}

// Encode returns the kubeconfig as YAML.
func (k Kubeconfig) Encode() ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters[k.Cluster] = &clientcmdapi.Cluster{Server: k.Server, CertificateAuthorityData: k.CA}
	cfg.AuthInfos[k.User] = &clientcmdapi.AuthInfo{
		ClientCertificateData: k.Cert, ClientKeyData: k.Key,
		ClientCertificate: k.CertFile, ClientKey: k.KeyFile, Token: k.Token,
	}
	cfg.Contexts[k.Cluster] = &clientcmdapi.Context{Cluster: k.Cluster, AuthInfo: k.User}
	cfg.CurrentContext = k.Cluster
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("encoding a kubeconfig: %w", err)
	}
	return data, nil
}

// WriteKubeconfig writes a kubeconfig that only its owner may read. A file that already says the same is left alone.
func WriteKubeconfig(path string, k Kubeconfig) error {
	data, err := k.Encode()
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	return WriteFile(path, data)
}

// Retarget returns a kubeconfig's content with every cluster entry renamed to name and pointing at server. It is how the
// administrator's kubeconfig inside a local cluster becomes the one that works on the host.
func Retarget(data []byte, name, server string) (Kubeconfig, error) {
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("reading a kubeconfig: %w", err)
	}
	current, ok := cfg.Contexts[cfg.CurrentContext]
	if !ok {
		return Kubeconfig{}, fmt.Errorf("reading a kubeconfig: it has no current context")
	}
	cluster, user := cfg.Clusters[current.Cluster], cfg.AuthInfos[current.AuthInfo]
	if cluster == nil || user == nil {
		return Kubeconfig{}, fmt.Errorf("reading a kubeconfig: its context %s names nothing", cfg.CurrentContext)
	}
	return Kubeconfig{
		Cluster: name, User: current.AuthInfo + "@" + name, Server: server, CA: cluster.CertificateAuthorityData,
		Cert: user.ClientCertificateData, Key: user.ClientKeyData, Token: user.Token,
	}, nil
}

func writeKubeconfigOf(path, server string, ca []byte, pair Pair) error {
	cert, err := os.ReadFile(pair.CertFile)
	if err != nil {
		return fmt.Errorf("reading a client certificate: %w", err)
	}
	key, err := os.ReadFile(pair.KeyFile)
	if err != nil {
		return fmt.Errorf("reading a client key: %w", err)
	}
	certs, err := ParseCerts(cert)
	if err != nil {
		return fmt.Errorf("reading the certificate %s: %w", pair.CertFile, err)
	}
	return WriteKubeconfig(path, Kubeconfig{
		Cluster: "coracle", User: certs[0].Subject.CommonName, Server: server, CA: ca, Cert: cert, Key: key,
	})
}
