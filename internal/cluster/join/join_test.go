package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	certv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/cluster/pki"
	"coracle.dev/coracle/internal/cluster/signer"
)

// server is an API server that knows certificate requests and nothing else, with a signer behind it.
type server struct {
	http      *httptest.Server
	authority *pki.Authority
	fake      *clientfake.Client
	token     pki.Token
}

func csrs() schema.GroupResource {
	return schema.GroupResource{Group: certv1.GroupName, Resource: "certificatesigningrequests"}
}

func newServer(t *testing.T) *server {
	t.Helper()
	authority, err := pki.NewAuthority("coracle-ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := pki.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	token.CAHash = authority.Hash()
	s := &server{authority: authority, fake: clientfake.New(nil), token: token}
	s.fake.SetClock(time.Now)
	s.fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
		review, ok := w.Object.(*authzv1.SubjectAccessReview)
		if !ok {
			return nil, false, nil
		}
		review = review.DeepCopy()
		sub := review.Spec.ResourceAttributes.Subresource
		review.Status.Allowed = strings.HasPrefix(review.Spec.User, "system:bootstrap:") && sub == "nodeclient" ||
			strings.HasPrefix(review.Spec.User, "system:node:") && sub == "selfnodeclient"
		return review, true, nil
	})
	s.serve(t)
	log := testLog()
	sign := signer.New(s.fake, authority, netip.MustParsePrefix("10.43.0.0/16"), clock.RealClock{}, log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sign.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) serve(t *testing.T) {
	t.Helper()
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := pki.Leaf{CommonName: "kube-apiserver", Server: true, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	cert, err := s.authority.Sign(leaf, key.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(append(cert, s.authority.PEM()...), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(s.authority.Cert)
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.http.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
		MinVersion: tls.VersionTLS12,
	}
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
}

func (s *server) user(r *http.Request) string {
	if r.Header.Get("Authorization") == "Bearer "+s.token.Bearer() {
		return "system:bootstrap:" + s.token.ID
	}
	if len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return ""
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	user := s.user(r)
	w.Header().Set("Content-Type", "application/json")
	if user == "" {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(metav1.Status{Status: "Failure", Reason: metav1.StatusReasonUnauthorized, Code: 401})
		return
	}
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		csr := &certv1.CertificateSigningRequest{}
		if err == nil {
			_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, csr)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		csr.Spec.Username, csr.CreationTimestamp = user, metav1.Now()
		out, err := s.fake.Write(r.Context(), client.Write{Verb: client.Create, Resource: csrs(), Name: csr.Name, Object: csr})
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	name := strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	cache, err := s.fake.Cache(client.Selection{Resource: csrs(), FieldSelector: "metadata.name=" + name})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	snapshot, stream := cache.Follow()
	defer stream.Close()
	if r.URL.Query().Get("watch") == "" {
		list := certv1.CertificateSigningRequestList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for obj := range snapshot.All("") {
			list.Items = append(list.Items, *obj.(*certv1.CertificateSigningRequest)) //nolint:forcetypeassert
		}
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	// As a watch from an older version does, begin with what is there.
	for obj := range snapshot.All("") {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "MODIFIED", "object": obj})
	}
	for {
		w.(http.Flusher).Flush() //nolint:forcetypeassert
		events, err := stream.Next(r.Context())
		if err != nil {
			return
		}
		for _, event := range events {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "MODIFIED", "object": event.Object})
		}
	}
}

func options(t *testing.T, s *server) Options {
	t.Helper()
	return Options{Server: s.http.URL, Token: s.token.String(), Dir: t.TempDir(), NodeName: "one"}
}

func testLog() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

func TestJoin(t *testing.T) {
	s := newServer(t)
	opts := options(t, s)
	member, err := Join(t.Context(), opts, testLog())
	if err != nil {
		t.Fatal(err)
	}
	first, err := member.Client.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := leafOf(first)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Subject.CommonName != "system:node:one" || leaf.CheckSignatureFrom(s.authority.Cert) != nil {
		t.Errorf("the certificate is for %s", leaf.Subject)
	}
	t.Run("again, without a token", func(t *testing.T) {
		opts := opts
		opts.Token = ""
		again, err := Join(t.Context(), opts, testLog())
		if err != nil {
			t.Fatal(err)
		}
		cert, _ := again.Client.GetClientCertificate(nil)
		if second, _ := leafOf(cert); second.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
			t.Error("a good certificate was asked for again")
		}
	})
	t.Run("renewal uses the node's own certificate", func(t *testing.T) {
		if err := member.Client.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		cert, _ := member.Client.GetClientCertificate(nil)
		if second, _ := leafOf(cert); second.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			t.Error("the certificate is the old one")
		}
	})
	t.Run("serving", func(t *testing.T) {
		s.fake.Load(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
		}})
		wanted := ServingRequest(pki.KubeletServingLeaf("one", []netip.Addr{netip.MustParseAddr("10.0.0.1")}))
		serving, err := member.Serving(wanted)
		if err != nil {
			t.Fatal(err)
		}
		if cert, _ := serving.GetCertificate(nil); cert == nil {
			t.Error("there is no certificate to begin with")
		}
		if _, ok := serving.due(); ok {
			t.Error("the node's own signature is taken for the cluster's")
		}
		if err := serving.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, err := member.Serving(wanted)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := again.due(); !ok {
			t.Error("the signed certificate was not kept")
		}
	})
}

func TestJoinRefuses(t *testing.T) {
	s, other := newServer(t), newServer(t)
	tests := []struct {
		name  string
		spoil func(o *Options)
		want  error
	}{
		{"another cluster's token", func(o *Options) { o.Token = other.token.String() }, ErrWrongAuthority},
		{"no hash", func(o *Options) { o.Token = s.token.Bearer() }, errRefused},
		{"no token", func(o *Options) { o.Token = "" }, errRefused},
		{"nonsense", func(o *Options) { o.Token = "K10x" }, errRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := options(t, s)
			tt.spoil(&opts)
			if _, err := Join(t.Context(), opts, testLog()); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if entries, _ := os.ReadDir(opts.Dir); len(entries) != 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// TestJoinKeepsTrying ends the attempts by the context: the secret is wrong, which a server that has just started may mend.
func TestJoinKeepsTrying(t *testing.T) {
	s := newServer(t)
	opts := options(t, s)
	wrong := s.token
	wrong.Secret = strings.Repeat("0", 16)
	opts.Token = wrong.String()
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	log := slog.New(slog.NewTextHandler(writerFunc(func(data []byte) (int, error) {
		if strings.Contains(string(data), wrong.Secret) {
			t.Errorf("the log tells the secret: %s", data)
		}
		if tries++; tries == 2 {
			cancel()
		}
		return len(data), nil
	}), nil))
	if _, err := Join(ctx, opts, log); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

func TestDeadline(t *testing.T) {
	authority, err := pki.NewAuthority("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	life := authority.Cert.NotAfter.Sub(authority.Cert.NotBefore)
	at := deadline(authority.Cert).Sub(authority.Cert.NotBefore)
	if at < life*7/10 || at > life*8/10 {
		t.Errorf("renewed after %s of %s", at, life)
	}
}
