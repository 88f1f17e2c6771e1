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
	"time"

	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// ClientCertificates authenticates the TLS client certificate: its common name is the user, its organizations are the groups.
// The TLS layer asks for a certificate and leaves judging it to this.
type ClientCertificates struct {
	// CAs returns the trusted authorities; it is called on every request, so that they can be reloaded.
	CAs func() *x509.CertPool
	Now func() time.Time
}

// Authenticate implements Authenticator. A caller without a certificate is not known; one with a bad certificate is an error.
func (c *ClientCertificates) Authenticate(r *http.Request) (request.User, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return request.User{}, false, nil
	}
	cert := r.TLS.PeerCertificates[0]
	if err := verifyClient(r.TLS.PeerCertificates, c.CAs(), c.Now()); err != nil {
		return request.User{}, false, err
	}
	user, ok, err := userOfCertificate(cert)
	return user, ok, err
}

// verifyClient checks a chain for use by a client against the pool.
func verifyClient(chain []*x509.Certificate, pool *x509.CertPool, now time.Time) error {
	cert := chain[0]
	if pool == nil {
		return fmt.Errorf("verifying certificate %s failed: no authority is trusted", describe(cert))
	}
	opts := x509.VerifyOptions{
		Roots: pool, CurrentTime: now, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, intermediate := range chain[1:] {
		opts.Intermediates.AddCert(intermediate)
	}
	if _, err := cert.Verify(opts); err != nil {
		return fmt.Errorf("verifying certificate %s failed: %w", describe(cert), err)
	}
	return nil
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
