package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"coracle.dev/coracle/internal/cluster/pki"
)

// ErrWrongAuthority says that the server showed no authority with the token's hash: it is another cluster's, or somebody
// listens in between. Trying again does not help.
var ErrWrongAuthority = errors.New("the server's authority is not the one that the token names")

const handshakeTimeout = 10 * time.Second

// FetchAuthority takes the cluster's authority (PEM) from the server's TLS handshake. Nothing is sent to the server beyond that
// handshake.
func FetchAuthority(ctx context.Context, server, hash string) ([]byte, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	// Verification is left to chooseAuthority: the authority is not known yet.
	dialer := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // See above.
		MinVersion:         tls.VersionTLS12,
		ServerName:         u.Hostname(),
	}}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", host, err)
	}
	defer conn.Close()
	tlsConn, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("connecting to %s: a %T is no TLS connection", host, conn)
	}
	authority, err := chooseAuthority(tlsConn.ConnectionState().PeerCertificates, hash, u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", host, err)
	}
	return authority, nil
}

// chooseAuthority finds the authority with the hash in the chain that a server showed, and checks that it signed the server's
// certificate for that host.
func chooseAuthority(chain []*x509.Certificate, hash, host string) ([]byte, error) {
	for _, cert := range chain {
		if pki.CertHash(cert) != hash {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			return nil, fmt.Errorf("verifying the server: %w", err)
		}
		return pki.EncodeCert(cert), nil
	}
	return nil, ErrWrongAuthority
}
