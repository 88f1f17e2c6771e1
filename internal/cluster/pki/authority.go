package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"time"
)

const (
	// AuthorityLife is how long a new certificate authority is valid.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// LeafLife is how long a new server or client certificate is valid.
	LeafLife = 365 * 24 * time.Hour
	// clockSkew is how far back a certificate begins, for machines whose clocks differ.
	clockSkew = 5 * time.Minute
)

// Authority is a certificate authority with its key. Safe for concurrent use.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes a self-signed certificate authority that begins at now.
func NewAuthority(commonName string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of %s: %w", commonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the authority %s: %w", commonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the authority %s: %w", commonName, err)
	}
	return &Authority{Cert: cert, key: key}, nil
}

// LoadAuthority reads a certificate authority and its key from PEM files.
func LoadAuthority(certFile, keyFile string) (*Authority, error) {
	cert, err := loadCert(certFile)
	if err != nil {
		return nil, err
	}
	key, err := LoadKey(keyFile)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority", certFile)
	}
	if !samePublicKey(cert.PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s does not belong to the key %s", certFile, keyFile)
	}
	return &Authority{Cert: cert, key: key}, nil
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte { return EncodeCert(a.Cert) }

// Hash returns the SHA-256 of the authority's certificate in hex: what a join token carries.
func (a *Authority) Hash() string { return CertHash(a.Cert) }

// CertHash returns the SHA-256 of a certificate in hex.
func CertHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Leaf says what a server or client certificate is to hold.
type Leaf struct {
	CommonName    string
	Organizations []string
	DNSNames      []string
	Addresses     []netip.Addr
	// Server and Client choose the extended key usages; one of them must be set.
	Server, Client bool
	// Life is the certificate's life; zero means LeafLife. It never outlives the authority.
	Life time.Duration
}

// Sign issues a certificate for a public key.
func (a *Authority) Sign(leaf Leaf, public crypto.PublicKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		DNSNames:              leaf.DNSNames,
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              a.end(leaf.Life, now),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	for _, addr := range leaf.Addresses {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	}
	if leaf.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if leaf.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if len(template.ExtKeyUsage) == 0 {
		return nil, fmt.Errorf("certificate %s is neither for a server nor for a client", leaf.CommonName)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", leaf.CommonName, err)
	}
	return encodeDER(der), nil
}

func (a *Authority) end(life time.Duration, now time.Time) time.Time {
	if life == 0 {
		life = LeafLife
	}
	end := now.Add(life)
	if end.After(a.Cert.NotAfter) {
		return a.Cert.NotAfter
	}
	return end
}

// renewalReason says why a certificate must be made anew, or nothing when it is fine.
func (a *Authority) renewalReason(cert *x509.Certificate, public crypto.PublicKey, want Leaf, now time.Time) string {
	life := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case cert.CheckSignatureFrom(a.Cert) != nil:
		return "signed by another authority"
	case !samePublicKey(cert.PublicKey, public):
		return "belongs to another key"
	case now.After(cert.NotAfter.Add(-life / 3)):
		return "a third of its life or less is left"
	case cert.Subject.CommonName != want.CommonName || !sameSet(cert.Subject.Organization, want.Organizations):
		return "names another subject"
	case !sameSet(cert.DNSNames, want.DNSNames) || !sameAddresses(cert, want.Addresses):
		return "names other hosts"
	default:
		return ""
	}
}

func sameAddresses(cert *x509.Certificate, want []netip.Addr) bool {
	var have, wanted []string
	for _, ip := range cert.IPAddresses {
		have = append(have, ip.String())
	}
	for _, addr := range want {
		wanted = append(wanted, addr.String())
	}
	return sameSet(have, wanted)
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func samePublicKey(a, b crypto.PublicKey) bool {
	equaler, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && equaler.Equal(b)
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// EncodeCert returns a certificate in PEM.
func EncodeCert(cert *x509.Certificate) []byte { return encodeDER(cert.Raw) }

func encodeDER(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// NewKey makes an ECDSA P-256 key and its PEM form.
func NewKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	data, err := encodeKey(key)
	return key, data, err
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// LoadKey reads a private key in PKCS #8, PKCS #1 or SEC 1 form.
func LoadKey(file string) (crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	key, err := ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", file, err)
	}
	return key, nil
}

// ParseKey reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1.
func ParseKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return nil, errors.New("no private key in PEM form found")
}

func loadCert(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	certs, err := ParseCerts(data)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s: %w", file, err)
	}
	return certs[0], nil
}

// ParseCerts reads one or more certificates in PEM.
func ParseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM form found")
	}
	return certs, nil
}
