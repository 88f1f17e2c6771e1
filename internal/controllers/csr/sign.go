package csr

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	// backdate makes a certificate good on machines whose clock is behind.
	backdate = 5 * time.Minute
	// shortLife is the life up to which the whole of it begins now, backdating not counted.
	shortLife = 8 * time.Hour
	// leastLife is the shortest life given; shorter ones would be gone before they are used.
	leastLife = 10 * time.Minute
)

// Authority is what certificates are signed with.
type Authority struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	// MaxLife is the longest life given, and that of requests which ask for none.
	MaxLife time.Duration
	// Random is where serial numbers and signatures come from; nil: crypto/rand.
	Random io.Reader
}

// ValidationError says that a request is not one its signer signs, for good.
type ValidationError struct{ Err error }

func (e *ValidationError) Error() string { return e.Err.Error() }
func (e *ValidationError) Unwrap() error { return e.Err }

// Signs tells whether this package signs for the signer.
func Signs(signer string) bool {
	switch signer {
	case certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName,
		certificatesv1.KubeAPIServerClientSignerName:
		return true
	}
	return false
}

// Sign makes the certificate of an approved request, in PEM. An error of type *ValidationError says that the request breaks its
// signer's rules.
func Sign(csr *certificatesv1.CertificateSigningRequest, ca *Authority, now time.Time) ([]byte, error) {
	req, err := Parse(csr.Spec.Request)
	if err != nil {
		return nil, &ValidationError{err}
	}
	if err := validate(csr, req); err != nil {
		return nil, &ValidationError{err}
	}
	random := ca.Random
	if random == nil {
		random = rand.Reader //nolint:forbidigo // the usual one; tests bring their own
	}
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and of one length
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      req.Subject,
		DNSNames:     req.DNSNames, IPAddresses: req.IPAddresses, EmailAddresses: req.EmailAddresses, URIs: req.URIs,
		BasicConstraintsValid: true,
	}
	template.NotBefore, template.NotAfter = lifetime(csr.Spec.ExpirationSeconds, ca, now)
	if template.KeyUsage, template.ExtKeyUsage, err = keyUsages(csr.Spec.Usages); err != nil {
		return nil, &ValidationError{err}
	}
	der, err := x509.CreateCertificate(random, template, ca.Certificate, req.PublicKey, ca.Key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate request %s: %w", csr.Name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func validate(csr *certificatesv1.CertificateSigningRequest, req *x509.CertificateRequest) error {
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return validateNodeClient(req, csr.Spec.Usages)
	case certificatesv1.KubeletServingSignerName:
		return validateNodeServing(req, csr.Spec.Usages)
	case certificatesv1.KubeAPIServerClientSignerName:
		if slices.Contains(req.Subject.Organization, "system:masters") {
			return fmt.Errorf("use of %s signer with system:masters group is not allowed", csr.Spec.SignerName)
		}
		for _, u := range csr.Spec.Usages {
			switch u {
			case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
			default:
				return fmt.Errorf("invalid usage for client certificate: %s", u)
			}
		}
		if !slices.Contains(csr.Spec.Usages, certificatesv1.UsageClientAuth) {
			return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
		}
		return nil
	}
	return fmt.Errorf("unrecognized signerName: %q", csr.Spec.SignerName)
}

// lifetime honours what was asked for within the authority's limits; no certificate outlives its authority.
func lifetime(asked *int32, ca *Authority, now time.Time) (from, to time.Time) {
	life := ca.MaxLife
	if asked != nil {
		life = min(max(time.Duration(*asked)*time.Second, leastLife), ca.MaxLife)
	}
	from, to = now.Add(-backdate), now.Add(life)
	if life >= shortLife {
		to = to.Add(-backdate)
	}
	if to.After(ca.Certificate.NotAfter) {
		to = ca.Certificate.NotAfter
	}
	return from, to
}

func keyUsages(usages []certificatesv1.KeyUsage) (x509.KeyUsage, []x509.ExtKeyUsage, error) {
	var usage x509.KeyUsage
	var extended []x509.ExtKeyUsage
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature:
			usage |= x509.KeyUsageDigitalSignature
		case certificatesv1.UsageKeyEncipherment:
			usage |= x509.KeyUsageKeyEncipherment
		case certificatesv1.UsageClientAuth:
			extended = append(extended, x509.ExtKeyUsageClientAuth)
		case certificatesv1.UsageServerAuth:
			extended = append(extended, x509.ExtKeyUsageServerAuth)
		default:
			return 0, nil, fmt.Errorf("unsupported usage: %s", u)
		}
	}
	return usage, extended, nil
}
