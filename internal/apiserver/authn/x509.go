package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// ClientCertificates authenticates the TLS client certificate: its common name is the user, its organizations are the groups.
// The TLS layer asks for a certificate and leaves judging it to this. Safe for concurrent use.
type ClientCertificates struct {
	// CAs returns the trusted authorities; it is called on every request, so that they can be reloaded. What has been verified
	// is remembered for as long as it returns the same pool.
	CAs func() *x509.CertPool
	Now func() time.Time

	mu       sync.Mutex
	verified map[[sha256.Size]byte]verifiedChain
	pool     *x509.CertPool // by which verified was judged
}

// verifiedChain is a chain that was found good, with the time in which it is.
type verifiedChain struct {
	user        request.User
	named       bool
	from, until time.Time
}

// mostVerified bounds how many chains are remembered; then all are forgotten and judged anew.
const mostVerified = 1024

// Authenticate implements Authenticator. A caller without a certificate is not known; one with a bad certificate is an error.
func (c *ClientCertificates) Authenticate(r *http.Request) (request.User, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return request.User{}, false, nil
	}
	chain, pool, now := r.TLS.PeerCertificates, c.CAs(), c.Now()
	key := keyOf(chain)
	if v, ok := c.recall(key, pool, now); ok {
		return v.user, v.named, nil
	}
	v, err := verifyClient(chain, pool, now)
	if err != nil {
		return request.User{}, false, err
	}
	if v.user, v.named, err = userOfCertificate(chain[0]); err != nil {
		return request.User{}, false, err
	}
	c.remember(key, pool, v)
	return v.user, v.named, nil
}

func keyOf(chain []*x509.Certificate) (key [sha256.Size]byte) {
	h := sha256.New()
	for _, cert := range chain {
		h.Write(cert.Raw) // each says its own length
	}
	h.Sum(key[:0])
	return key
}

func (c *ClientCertificates) recall(key [sha256.Size]byte, pool *x509.CertPool, now time.Time) (verifiedChain, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.verified[key]
	return v, ok && pool == c.pool && !now.Before(v.from) && !now.After(v.until)
}

func (c *ClientCertificates) remember(key [sha256.Size]byte, pool *x509.CertPool, v verifiedChain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verified == nil || pool != c.pool || len(c.verified) >= mostVerified {
		c.verified, c.pool = map[[sha256.Size]byte]verifiedChain{}, pool
	}
	c.verified[key] = v
}

// verifyClient checks a chain for use by a client against the pool.
func verifyClient(chain []*x509.Certificate, pool *x509.CertPool, now time.Time) (verifiedChain, error) {
	cert := chain[0]
	if pool == nil {
		return verifiedChain{}, fmt.Errorf("verifying certificate %s failed: no authority is trusted", describe(cert))
	}
	opts := x509.VerifyOptions{
		Roots: pool, CurrentTime: now, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, intermediate := range chain[1:] {
		opts.Intermediates.AddCert(intermediate)
	}
	good, err := cert.Verify(opts)
	if err != nil {
		return verifiedChain{}, fmt.Errorf("verifying certificate %s failed: %w", describe(cert), err)
	}
	v := verifiedChain{from: cert.NotBefore, until: cert.NotAfter}
	for _, link := range good[0] {
		if link.NotBefore.After(v.from) {
			v.from = link.NotBefore
		}
		if link.NotAfter.Before(v.until) {
			v.until = link.NotAfter
		}
	}
	return v, nil
}

func describe(cert *x509.Certificate) string {
	return fmt.Sprintf("SN=%d, SKID=%X, AKID=%X", cert.SerialNumber, cert.SubjectKeyId, cert.AuthorityKeyId)
}

// uidAttribute is the subject attribute that holds a user's UID (1.3.6.1.4.1.57683.2, the Kubernetes enterprise arc).
func uidAttribute() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2} }

func userOfCertificate(cert *x509.Certificate) (request.User, bool, error) {
	if cert.Subject.CommonName == "" {
		return request.User{}, false, nil
	}
	uid := ""
	for _, name := range cert.Subject.Names {
		if !name.Type.Equal(uidAttribute()) {
			continue
		}
		value, ok := name.Value.(string)
		switch {
		case !ok:
			return request.User{}, false, errors.New("unable to parse UID into a string")
		case uid != "":
			return request.User{}, false, errors.New("expected 1 UID, but found multiple")
		case value == "":
			return request.User{}, false, errors.New("UID cannot be an empty string")
		}
		uid = value
	}
	sum := sha256.Sum256(cert.Raw)
	return request.User{
		Name:   cert.Subject.CommonName,
		UID:    uid,
		Groups: slices.Clone(cert.Subject.Organization),
		Extra:  map[string][]string{token.ExtraCredentialID: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}, true, nil
}
