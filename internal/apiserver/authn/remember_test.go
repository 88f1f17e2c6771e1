package authn

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestVerifiedChainsAreJudgedAnew: a remembered certificate is refused once it has expired or its authority is no longer
// trusted, and another one of the same name is not taken for it.
func TestVerifiedChainsAreJudgedAnew(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	now, pool := start, ca.pool()
	certificates := &ClientCertificates{CAs: func() *x509.CertPool { return pool }, Now: func() time.Time { return now }}
	same := func(*x509.Certificate) {}
	good, forged := ca.request(t, same), other.request(t, same)
	judge := func(what string, want bool) {
		t.Helper()
		if _, ok, err := certificates.Authenticate(good); ok != want {
			t.Fatalf("%s: ok %v, error %v", what, ok, err)
		}
	}
	judge("at first", true)
	judge("remembered", true)
	if len(certificates.verified) != 1 {
		t.Fatalf("%d chains are remembered", len(certificates.verified))
	}
	if _, ok, _ := certificates.Authenticate(forged); ok {
		t.Fatal("a stranger's certificate for the same name was taken for a remembered one")
	}
	now = start.Add(2 * time.Hour)
	judge("after its end", false)
	now = start.Add(-2 * time.Hour)
	judge("before its beginning", false)
	now, pool = start, other.pool()
	judge("after the authority was replaced", false)
	pool = ca.pool()
	judge("after the authority came back", true)
}
