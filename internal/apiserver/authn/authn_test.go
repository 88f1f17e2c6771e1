package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
	"coracle.dev/coracle/internal/client/clientfake"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func clock() time.Time { return start }

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate of a fresh key; an authority without certificate signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = start.Add(-time.Hour), start.Add(time.Hour)
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) request(t *testing.T, change func(*x509.Certificate)) *http.Request {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	cert, _ := a.sign(t, template)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	return r
}

func TestClientCertificates(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	a := New(Config{Certificates: &ClientCertificates{CAs: ca.pool, Now: clock}, Anonymous: true})
	same := func(*x509.Certificate) {}
	cases := []struct {
		name string
		r    *http.Request
		want string
	}{
		{"good", ca.request(t, same), "jane"},
		{"none", httptest.NewRequest(http.MethodGet, "/", nil), request.Anonymous},
		{"of a stranger", stranger.request(t, same), ""},
		{"for servers", ca.request(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), ""},
		{"expired", ca.request(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = start.Add(-2*time.Hour), start.Add(-time.Hour)
		}), ""},
		{"of the future", ca.request(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = start.Add(time.Hour), start.Add(2*time.Hour)
		}), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			user, ok, err := a.Authenticate(c.r)
			if ok != (c.want != "") || user.Name != c.want {
				t.Fatalf("user %q, ok %v, error %v", user.Name, ok, err)
			}
			if c.want == "" && err == nil {
				t.Fatal("a bad certificate is no error")
			}
			if c.want == "jane" && !slices.Equal(user.Groups, []string{"dev", "ops", request.GroupAuthenticated}) {
				t.Fatalf("groups %v", user.Groups)
			}
			if c.want == request.Anonymous && !slices.Equal(user.Groups, []string{request.GroupUnauthenticated}) {
				t.Fatalf("groups %v", user.Groups)
			}
		})
	}
}

func TestFrontProxy(t *testing.T) {
	users, proxies := newAuthority(t), newAuthority(t)
	a := New(Config{
		FrontProxy:   &FrontProxy{CAs: proxies.pool, AllowedNames: []string{"front"}, Now: clock},
		Certificates: &ClientCertificates{CAs: users.pool, Now: clock},
	})
	named := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName = name }
	}
	ask := func(r *http.Request) (request.User, bool, error) {
		r.Header.Set(HeaderRemoteUser, "root")
		r.Header.Set(HeaderRemoteGroup, "system:masters")
		r.Header.Set(HeaderRemoteExtra+"Scopes%2fA", "x")
		return a.Authenticate(r)
	}
	user, ok, err := ask(proxies.request(t, named("front")))
	if !ok || user.Name != "root" || !user.InGroup("system:masters") || len(user.Extra["scopes/a"]) != 1 {
		t.Fatalf("the proxy is not believed: %+v %v", user, err)
	}
	if user, ok, _ := ask(users.request(t, named("jane"))); !ok || user.Name != "jane" || user.InGroup("system:masters") {
		t.Fatalf("a user's headers are believed: %+v", user)
	}
	if user, ok, _ := ask(proxies.request(t, named("other"))); ok {
		t.Fatalf("a proxy of another name is believed: %+v", user)
	}
	if user, ok, _ := ask(httptest.NewRequest(http.MethodGet, "/", nil)); ok {
		t.Fatalf("headers without a certificate are believed: %+v", user)
	}
}

// fixed knows one token.
type fixed struct{ good, bad string }

func (f fixed) AuthenticateToken(_ context.Context, raw string, _ []string) (token.Identity, bool, error) {
	switch raw {
	case f.good:
		return token.Identity{User: request.User{Name: "jane"}}, true, nil
	case f.bad:
		return token.Identity{}, false, errors.New("token has expired")
	}
	return token.Identity{}, false, nil
}

func TestBearer(t *testing.T) {
	a := New(Config{Bearer: &Bearer{Tokens: Tokens{fixed{}, fixed{good: "good", bad: "old"}}}, Anonymous: true})
	cases := []struct{ name, header, want string }{
		{"good", "Bearer good", "jane"},
		{"lower case", "bearer good", "jane"},
		{"spaces", "  Bearer   good", "jane"},
		{"unknown", "Bearer nonsense", ""},
		{"expired", "Bearer old", ""},
		{"empty", "Bearer ", request.Anonymous},
		{"another scheme", "Basic amFuZTpnb29k", request.Anonymous},
		{"none", "", request.Anonymous},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", c.header)
			user, ok, err := a.Authenticate(r)
			if user.Name != c.want || ok != (c.want != "") || (err == nil) != ok {
				t.Fatalf("user %q, ok %v, error %v", user.Name, ok, err)
			}
		})
	}
	t.Run("websocket", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Protocol", "v5.channel.k8s.io, "+webSocketPrefix+base64.RawURLEncoding.EncodeToString([]byte("good")))
		if user, _, err := a.Authenticate(r); user.Name != "jane" {
			t.Fatalf("user %q, error %v", user.Name, err)
		}
	})
}

func TestBootstrapTokens(t *testing.T) {
	const id, secret = "abcdef", "0123456789abcdef"
	good := func() *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: BootstrapSecretPrefix + id},
			Type:       BootstrapSecretType,
			Data: map[string][]byte{
				"token-id": []byte(id), "token-secret": []byte(secret),
				"usage-bootstrap-authentication": []byte("true"),
				"expiration":                     []byte("2030-01-01T00:00:01Z"),
				"auth-extra-groups":              []byte("system:bootstrappers:coracle:a,system:bootstrappers:b"),
			},
		}
	}
	cases := []struct {
		name   string
		raw    string
		change func(*corev1.Secret)
		ok     bool
		err    string
	}{
		{"good", id + "." + secret, func(*corev1.Secret) {}, true, ""},
		{"for ever", id + "." + secret, func(s *corev1.Secret) { delete(s.Data, "expiration") }, true, ""},
		{"wrong secret", id + ".0123456789abcdeX", func(*corev1.Secret) {}, false, ""},
		{"other secret", id + ".0123456789abcde0", func(*corev1.Secret) {}, false, ""},
		{"unknown id", "zzzzzz." + secret, func(*corev1.Secret) {}, false, ""},
		{"with a line end", id + "." + secret + "\n", func(*corev1.Secret) {}, false, ""},
		{"expired", id + "." + secret, func(s *corev1.Secret) { s.Data["expiration"] = []byte("2030-01-01T00:00:00Z") }, false, ""},
		{"unreadable expiration", id + "." + secret, func(s *corev1.Secret) { s.Data["expiration"] = []byte("soon") }, false, ""},
		{"not for authentication", id + "." + secret, func(s *corev1.Secret) { delete(s.Data, "usage-bootstrap-authentication") }, false, ""},
		{"another type", id + "." + secret, func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, false, ""},
		{"another id inside", id + "." + secret, func(s *corev1.Secret) { s.Data["token-id"] = []byte("ffffff") }, false, ""},
		{"being deleted", id + "." + secret, func(s *corev1.Secret) {
			at := metav1.NewTime(start)
			s.DeletionTimestamp, s.Finalizers = &at, []string{"a/b"}
		}, false, ""},
		{"a group outside of the bootstrappers", id + "." + secret, func(s *corev1.Secret) {
			s.Data["auth-extra-groups"] = []byte("system:masters")
		}, false, "bad group"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kept := good()
			c.change(kept)
			b := NewBootstrapTokens(lookup.New(clientfake.New(nil, kept)), []string{"api"}, clock)
			got, ok, err := b.AuthenticateToken(context.Background(), c.raw, nil)
			if ok != c.ok || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("ok %v, error %v", ok, err)
			}
			want := []string{"system:bootstrappers", "system:bootstrappers:coracle:a", "system:bootstrappers:b"}
			if ok && (got.User.Name != "system:bootstrap:"+id || !slices.Equal(got.User.Groups, want)) {
				t.Fatalf("user %+v", got.User)
			}
		})
	}
}
