package authn

import (
	"crypto/x509"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Headers by which a front proxy names its user, as kube-apiserver's aggregator sends them.
const (
	HeaderRemoteUser  = "X-Remote-User"
	HeaderRemoteUID   = "X-Remote-Uid"
	HeaderRemoteGroup = "X-Remote-Group"
	HeaderRemoteExtra = "X-Remote-Extra-"
)

// FrontProxy believes the user headers of a proxy that shows a certificate of the front proxy's own authority.
type FrontProxy struct {
	CAs func() *x509.CertPool
	// AllowedNames are the common names that a proxy may have; empty: any.
	AllowedNames []string
	Now          func() time.Time
}

// Authenticate implements Authenticator. Headers without a certificate, or with one of another authority, mean nothing here.
func (f *FrontProxy) Authenticate(r *http.Request) (request.User, bool, error) {
	name := r.Header.Get(HeaderRemoteUser)
	if name == "" || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return request.User{}, false, nil
	}
	chain := r.TLS.PeerCertificates
	if _, err := verifyClient(chain, f.CAs(), f.Now()); err != nil {
		return request.User{}, false, nil // the certificate may be a user's own, judged elsewhere
	}
	if len(f.AllowedNames) > 0 && !slices.Contains(f.AllowedNames, chain[0].Subject.CommonName) {
		return request.User{}, false, nil
	}
	user := request.User{
		Name: name, UID: r.Header.Get(HeaderRemoteUID), Groups: slices.Clone(r.Header.Values(HeaderRemoteGroup)),
	}
	prefix := textproto.CanonicalMIMEHeaderKey(HeaderRemoteExtra)
	for header, values := range r.Header {
		key, ok := strings.CutPrefix(header, prefix)
		if !ok || key == "" {
			continue
		}
		if user.Extra == nil {
			user.Extra = map[string][]string{}
		}
		key = unescape(strings.ToLower(key))
		user.Extra[key] = append(user.Extra[key], values...)
	}
	return user, true, nil
}

// unescape undoes percent encoding where it is well-formed.
func unescape(key string) string {
	if plain, err := url.PathUnescape(key); err == nil {
		return plain
	}
	return key
}
