package servertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
	"coracle.dev/coracle/internal/store/storetest"
)

// Running is a server under test.
type Running struct {
	*apiserver.Server
	// URL is where it listens, CA what its certificate is signed by.
	URL string
	CA  []byte
	// HTTP is a client that trusts it and presents no credentials beyond the header that Authenticator reads.
	HTTP *http.Client
}

// Authenticator believes a bearer token to be a user's name, with the groups after it: "name/group/group". Without a token
// the caller is an administrator.
type Authenticator struct{}

// Authenticate implements authn.Authenticator.
func (Authenticator) Authenticate(r *http.Request) (request.User, bool, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return request.User{Name: "admin", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}, true, nil
	}
	parts := strings.Split(token, "/")
	return request.User{Name: parts[0], Groups: append(parts[1:], request.GroupAuthenticated)}, true, nil
}

// Config returns a configuration over an empty store; the caller may change it before Start.
func Config(tb testing.TB) apiserver.Config {
	tb.Helper()
	return ConfigWith(tb, storetest.Open(tb))
}

// ConfigWith is Config over a given store.
func ConfigWith(tb testing.TB, s store.Store) apiserver.Config {
	tb.Helper()
	catalogue, err := builtin.New()
	if err != nil {
		tb.Fatalf("building the catalogue: %v", err)
	}
	return apiserver.Config{
		Store: s, Catalogue: catalogue, Authenticator: Authenticator{}, Now: time.Now, Rand: mathrand.IntN,
		Codec: func(r *api.Resource) store.Codec { return codec.StorageCodec(r) },
	}
}

// Start runs a server until the test ends, with a namespace "default" in it.
func Start(tb testing.TB, cfg apiserver.Config) *Running {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listening: %v", err)
	}
	cert, ca := certificate(tb)
	cfg.Listener = listener
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server, err := apiserver.New(cfg)
	if err != nil {
		tb.Fatalf("making a server: %v", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Errorf("running the server: %v", err)
		}
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	tb.Cleanup(transport.CloseIdleConnections)
	r := &Running{
		Server: server, URL: "https://" + listener.Addr().String(), CA: ca, HTTP: &http.Client{Transport: transport},
	}
	r.namespace(tb, "default")
	return r
}

// Admin is an in-process client that may do anything.
func (r *Running) Admin() client.Interface {
	return r.Local(request.User{Name: "system:admin", Groups: []string{request.GroupMasters, request.GroupAuthenticated}})
}

func (r *Running) namespace(tb testing.TB, name string) {
	tb.Helper()
	_, err := r.Admin().Write(tb.Context(), client.Write{
		Verb: client.Create, Resource: kinds.Namespaces(),
		Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
	})
	if err != nil {
		tb.Fatalf("creating namespace %s: %v", name, err)
	}
}

// RESTConfig is a client-go configuration for the server.
func (r *Running) RESTConfig() *rest.Config {
	return &rest.Config{Host: r.URL, TLSClientConfig: rest.TLSClientConfig{CAData: r.CA}, QPS: -1, UserAgent: "servertest/v1"}
}

// certificate makes a self-signed certificate for the loopback address.
func certificate(tb testing.TB) (tls.Certificate, []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("making a key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "servertest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatalf("making a certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
