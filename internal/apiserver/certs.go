package apiserver

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// recheckCertificates is how long a certificate is used before its files are looked at again.
const recheckCertificates = 10 * time.Second

// Certificates serves a certificate from files and takes up new ones when they change. Its Get is a tls.Config's
// GetCertificate. Safe for concurrent use.
type Certificates struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	cert    *tls.Certificate
	changed time.Time // of the files, as loaded
	checked time.Time
}

// LoadCertificates reads a certificate and its key from PEM files.
func LoadCertificates(certFile, keyFile string, now func() time.Time) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get returns the certificate to show. Broken new files leave the old one in use.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= recheckCertificates {
		c.checked = now
		if t, err := c.modified(); err == nil && !t.Equal(c.changed) {
			_ = c.load() // the old certificate stays in use until the files are whole
		}
	}
	return c.cert, nil
}

func (c *Certificates) load() error {
	changed, err := c.modified()
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("loading certificate %s: %w", c.certFile, err)
	}
	c.cert, c.changed, c.checked = &cert, changed, c.now()
	return nil
}

// modified is when the files changed last.
func (c *Certificates) modified() (time.Time, error) {
	var last time.Time
	for _, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return last, fmt.Errorf("certificate file: %w", err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}
