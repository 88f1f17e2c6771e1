package join

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	certv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	certclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/rest"

	"coracle.dev/coracle/internal/cluster/pki"
)

// Certificate is a certificate that is kept in files and asked for anew in time. Safe for concurrent use.
type Certificate struct {
	file    string // certificate and key, so that both change at once
	wanted  Request
	config  func() (*rest.Config, error)
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
}

func newCertificate(file string, wanted Request, config func() (*rest.Config, error), log *slog.Logger) *Certificate {
	return &Certificate{file: file, wanted: wanted, config: config, log: log}
}

// GetCertificate is for tls.Config of a server.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// GetClientCertificate is for tls.Config of a client.
func (c *Certificate) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// Run asks for the certificate whenever it is time, until ctx ends.
func (c *Certificate) Run(ctx context.Context) error {
	delay := firstRetry
	for {
		wait := delay
		if due, ok := c.due(); ok {
			wait = time.Until(due)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if err := c.renew(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			delay = min(2*delay, lastRetry)
			c.log.Warn("asking for a certificate did not succeed yet", "signer", c.wanted.Signer, "error", err)
			continue
		}
		delay = firstRetry
	}
}

// due says when the certificate is to be asked for; not ok means at once, with the usual delay between attempts.
func (c *Certificate) due() (time.Time, bool) {
	cert := c.current.Load()
	if cert == nil {
		return time.Time{}, false
	}
	leaf, err := leafOf(cert)
	if err != nil || leaf.Issuer.CommonName == leaf.Subject.CommonName {
		return time.Time{}, false // Signed by the node itself.
	}
	due := deadline(leaf)
	return due, time.Now().Before(due)
}

func (c *Certificate) renew(ctx context.Context) error {
	rc, err := c.config()
	if err != nil {
		return err
	}
	return c.request(ctx, rc)
}

// load reads the pair from its files; an error says why it can't be used.
func (c *Certificate) load(now time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.file, c.file)
	if err != nil {
		return fmt.Errorf("reading a certificate: %w", err)
	}
	leaf, err := leafOf(&pair)
	if err != nil {
		return err
	}
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate %s has expired", c.file)
	}
	if leaf.Subject.CommonName != c.wanted.Leaf.CommonName {
		return fmt.Errorf("the certificate %s is for %s", c.file, leaf.Subject.CommonName)
	}
	for _, address := range c.wanted.Leaf.Addresses {
		if leaf.VerifyHostname(address.String()) != nil {
			return fmt.Errorf("the certificate %s is not for %s", c.file, address)
		}
	}
	c.current.Store(&pair)
	return nil
}

// selfSign makes do until the certificate is signed by the cluster's authority.
func (c *Certificate) selfSign(now time.Time) error {
	authority, err := pki.NewAuthority(c.wanted.Leaf.CommonName, now)
	if err != nil {
		return err
	}
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		return err
	}
	cert, err := authority.Sign(c.wanted.Leaf, key.Public(), now)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// pendingKey is the key of a request that is under way. It is kept, so that an agent that starts again finds its request
// instead of making another.
func (c *Certificate) pendingKey() string { return c.file + ".pending" }

// request gets a certificate signed for a new key and puts both into place.
func (c *Certificate) request(ctx context.Context, rc *rest.Config) error {
	client, err := certclient.NewForConfig(rc)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	key, err := pki.EnsureKey(c.pendingKey())
	if err != nil {
		return err
	}
	csr, err := c.object(key)
	if err != nil {
		return err
	}
	requests := client.CertificateSigningRequests()
	if _, err := requests.Create(ctx, csr, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("asking for a certificate: %w", err)
	}
	cert, err := waitSigned(ctx, requests, csr.Name)
	if errors.Is(err, errDenied) {
		// The next attempt begins with a new key, or it would find the old answer.
		return errors.Join(err, os.Remove(c.pendingKey()))
	}
	if err != nil {
		return err
	}
	return c.install(cert)
}

func (c *Certificate) object(key crypto.Signer) (*certv1.CertificateSigningRequest, error) {
	leaf := c.wanted.Leaf
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations}, DNSNames: leaf.DNSNames,
	}
	for _, address := range leaf.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	sum := sha256.Sum256(append(public, c.wanted.Signer...))
	return &certv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "node-csr-" + hex.EncodeToString(sum[:16])},
		Spec: certv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: c.wanted.Signer,
			Usages:     c.wanted.Usages,
		},
	}, nil
}

// install puts a signed certificate and its key into place.
func (c *Certificate) install(cert []byte) error {
	key, err := os.ReadFile(c.pendingKey())
	if err != nil {
		return fmt.Errorf("installing a certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("installing a certificate: %w", err)
	}
	if err := pki.WriteFile(c.file, append(append([]byte{}, cert...), key...)); err != nil {
		return err
	}
	if err := os.Remove(c.pendingKey()); err != nil {
		return fmt.Errorf("installing a certificate: %w", err)
	}
	c.current.Store(&pair)
	c.log.Info("got a certificate", "signer", c.wanted.Signer, "file", c.file)
	return nil
}

var errDenied = errors.New("the request for a certificate was denied")

// waitSigned follows a request until it is answered.
func waitSigned(ctx context.Context, client certclient.CertificateSigningRequestInterface, name string) ([]byte, error) {
	only := fields.OneTermEqualSelector("metadata.name", name).String()
	list, err := client.List(ctx, metav1.ListOptions{FieldSelector: only})
	if err != nil {
		return nil, fmt.Errorf("waiting for a certificate: %w", err)
	}
	for i := range list.Items {
		if cert, err := answer(&list.Items[i]); cert != nil || err != nil {
			return cert, err
		}
	}
	w, err := client.Watch(ctx, metav1.ListOptions{FieldSelector: only, ResourceVersion: list.ResourceVersion})
	if err != nil {
		return nil, fmt.Errorf("waiting for a certificate: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == watch.Error {
				return nil, errors.New("waiting for a certificate: the watch ended")
			}
			csr, isCSR := event.Object.(*certv1.CertificateSigningRequest)
			if !isCSR {
				continue
			}
			if event.Type == watch.Deleted {
				return nil, errors.New("waiting for a certificate: the request was deleted")
			}
			if cert, err := answer(csr); cert != nil || err != nil {
				return cert, err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a certificate: %w", context.Cause(ctx))
		}
	}
}

// answer returns the certificate, an error when there will be none, or neither while nothing is decided.
func answer(csr *certv1.CertificateSigningRequest) ([]byte, error) {
	for _, condition := range csr.Status.Conditions {
		if condition.Type == certv1.CertificateDenied || condition.Type == certv1.CertificateFailed {
			return nil, fmt.Errorf("%w: %s: %s", errDenied, condition.Reason, condition.Message)
		}
	}
	if len(csr.Status.Certificate) > 0 {
		return csr.Status.Certificate, nil
	}
	return nil, nil
}
