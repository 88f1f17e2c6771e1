package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	certv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"coracle.dev/coracle/internal/cluster/pki"
)

// Options of Join.
type Options struct {
	// Server is the API server's URL.
	Server string
	// Token is needed until the node has its certificate.
	Token string
	// Dir keeps the node's certificates and its kubeconfig.
	Dir      string
	NodeName string
}

func (o Options) caFile() string { return filepath.Join(o.Dir, "ca.crt") }

// Kubeconfig is the path of the node's kubeconfig. Its certificate is in files that are renewed.
func (o Options) Kubeconfig() string { return filepath.Join(o.Dir, "kubelet.kubeconfig") }

func (o Options) clientFile() string { return filepath.Join(o.Dir, "kubelet-client.pem") }

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Member is a machine that has joined.
type Member struct {
	// Kubeconfig is the path of the node's kubeconfig, CAFile that of the cluster's authority.
	Kubeconfig, CAFile string
	// Client is the node's client certificate. Its Run renews it.
	Client *Certificate

	opts Options
	log  *slog.Logger
}

// Join makes the machine a member, or finds that it is one. It tries again while the server does not answer, until ctx ends.
func Join(ctx context.Context, opts Options, log *slog.Logger) (*Member, error) {
	m := &Member{Kubeconfig: opts.Kubeconfig(), CAFile: opts.caFile(), opts: opts, log: log}
	m.Client = newCertificate(opts.clientFile(), clientRequest(opts.NodeName), m.restConfig, log)
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		err := m.attempt(ctx)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrWrongAuthority) || errors.Is(err, errRefused) {
			return nil, err
		}
		log.Warn("joining the cluster did not succeed yet", "server", opts.Server, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("joining the cluster: %w (last: %w)", context.Cause(ctx), err)
		}
	}
}

// errRefused marks what no second attempt changes.
var errRefused = errors.New("refused")

func (m *Member) attempt(ctx context.Context) error {
	token, tokenErr := pki.ParseToken(m.opts.Token)
	if err := m.ensureAuthority(ctx, token, tokenErr); err != nil {
		return err
	}
	if m.Client.load(time.Now()) != nil {
		if tokenErr != nil {
			return fmt.Errorf("%w: this machine has no valid certificate yet: %w", errRefused, tokenErr)
		}
		rc := m.base()
		rc.BearerToken = token.Bearer()
		if err := m.Client.request(ctx, rc); err != nil {
			return err
		}
	}
	ca, err := os.ReadFile(m.CAFile)
	if err != nil {
		return fmt.Errorf("reading the cluster's authority: %w", err)
	}
	return pki.WriteKubeconfig(m.Kubeconfig, pki.Kubeconfig{
		Cluster: "coracle", User: pki.NodeUser(m.opts.NodeName), Server: m.opts.Server, CA: ca,
		CertFile: m.opts.clientFile(), KeyFile: m.opts.clientFile(),
	})
}

// ensureAuthority keeps an authority that is there: it was verified when it was written. A token of another cluster replaces it,
// as that is how a machine moves.
func (m *Member) ensureAuthority(ctx context.Context, token pki.Token, tokenErr error) error {
	data, err := os.ReadFile(m.CAFile)
	if err == nil {
		certs, err := pki.ParseCerts(data)
		if err == nil && (tokenErr != nil || token.CAHash == "" || pki.CertHash(certs[0]) == token.CAHash) {
			return nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the cluster's authority: %w", err)
	}
	if tokenErr != nil {
		return fmt.Errorf("%w: this machine does not know the cluster's authority yet: %w", errRefused, tokenErr)
	}
	if token.CAHash == "" {
		return fmt.Errorf("%w: the token carries no hash of the cluster's authority; use the whole of it, K10HASH::ID.SECRET",
			errRefused)
	}
	ca, err := FetchAuthority(ctx, m.opts.Server, token.CAHash)
	if err != nil {
		return err
	}
	return pki.WriteFile(m.CAFile, ca)
}

func (m *Member) base() *rest.Config {
	return &rest.Config{Host: m.opts.Server, TLSClientConfig: rest.TLSClientConfig{CAFile: m.CAFile}}
}

// restConfig is for requests as the node.
func (m *Member) restConfig() (*rest.Config, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", m.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the node's kubeconfig: %w", err)
	}
	return rc, nil
}

// Serving returns the certificate of the node's own port, for these addresses. Until its Run has got it signed, it is one that
// the node signed itself, which the API server does not accept. The Node object must exist for the request to be approved.
func (m *Member) Serving(request Request) (*Certificate, error) {
	c := newCertificate(filepath.Join(m.opts.Dir, "kubelet-serving.pem"), request, m.restConfig, m.log)
	if c.load(time.Now()) == nil {
		return c, nil
	}
	return c, c.selfSign(time.Now())
}

// Request says what a certificate is asked for.
type Request struct {
	Signer string
	Usages []certv1.KeyUsage
	Leaf   pki.Leaf
}

func clientRequest(node string) Request {
	return Request{
		Signer: certv1.KubeAPIServerClientKubeletSignerName,
		Usages: []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageClientAuth},
		Leaf:   pki.Leaf{CommonName: pki.NodeUser(node), Organizations: []string{pki.NodesGroup}, Client: true},
	}
}

// ServingRequest asks for the certificate of a node's own port.
func ServingRequest(leaf pki.Leaf) Request {
	return Request{
		Signer: certv1.KubeletServingSignerName,
		Usages: []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageServerAuth},
		Leaf:   leaf,
	}
}

// deadline is when a certificate is asked for anew: after 70 to 80 % of its life, spread over machines by its serial number.
func deadline(cert *x509.Certificate) time.Time {
	life := cert.NotAfter.Sub(cert.NotBefore)
	spread := 0.0
	if cert.SerialNumber != nil {
		bits := cert.SerialNumber.Bytes()
		if len(bits) > 0 {
			spread = float64(bits[len(bits)-1]) / 255
		}
	}
	return cert.NotBefore.Add(time.Duration(float64(life) * (0.7 + 0.1*spread)))
}

// leafOf returns the parsed first certificate of a pair.
func leafOf(cert *tls.Certificate) (*x509.Certificate, error) {
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	return leaf, nil
}

// CertFile is the file that holds the node's client certificate and its key.
func (m *Member) CertFile() string { return m.opts.clientFile() }
