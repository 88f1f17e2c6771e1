package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Times of a connection. Pings find out that a server is gone while a watch waits.
const (
	dialTimeout     = 10 * time.Second
	keepAlive       = 30 * time.Second
	pingAfter       = 15 * time.Second
	pingTimeout     = 15 * time.Second
	recheckToken    = 30 * time.Second
	headerTimeout   = 75 * time.Second
	idleConnTimeout = 90 * time.Second
)

func newTransport(cfg Config) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(cfg.CA) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return nil, errors.New("remote client: no certificate in the given CA")
		}
	}
	if cfg.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, fmt.Errorf("remote client: %w", err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			return &cert, err
		}
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext
	}
	return &http.Transport{
		DialContext: dial, TLSClientConfig: conf, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout: idleConnTimeout, MaxIdleConnsPerHost: 4, ResponseHeaderTimeout: headerTimeout,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		// Answers are compressed on request only: between our parts the network is near.
		DisableCompression: true,
	}, nil
}

// tokenFile gives requests their bearer token, from a file that may change.
type tokenFile struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	token   string
	checked time.Time
}

func newTokenFile(cfg Config) *tokenFile {
	return &tokenFile{path: cfg.TokenFile, token: cfg.Token, now: cfg.Clock.Now}
}

// get returns the token, empty for none. A file that can't be read leaves the last token in use.
func (t *tokenFile) get() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path == "" {
		return t.token
	}
	if now := t.now(); t.checked.IsZero() || now.Sub(t.checked) >= recheckToken {
		t.checked = now
		if data, err := os.ReadFile(t.path); err == nil {
			t.token = strings.TrimSpace(string(data))
		}
	}
	return t.token
}
