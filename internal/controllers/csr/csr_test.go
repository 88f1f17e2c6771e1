package csr

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ask makes a request for the node n1, changed as the test wants.
func ask(t *testing.T, signer string, change func(*x509.CertificateRequest, *certificatesv1.CertificateSigningRequest)) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	req := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:n1", Organization: []string{"system:nodes"}}}
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer, Username: "system:node:n1", Groups: []string{"system:nodes"},
			Usages: []certificatesv1.KeyUsage{"digital signature", "client auth"},
		},
	}
	if signer == certificatesv1.KubeletServingSignerName {
		csr.Spec.Usages[1] = "server auth"
		req.DNSNames, req.IPAddresses = []string{"n1"}, []net.IP{net.ParseIP("192.0.2.7")}
	}
	if change != nil {
		change(req, csr)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key(t))
	if err != nil {
		t.Fatal(err)
	}
	if csr.Spec.Request == nil {
		csr.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return csr
}

func node() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: "192.0.2.7"}, {Type: corev1.NodeHostName, Address: "host1"},
		}},
	}
}

func TestDecide(t *testing.T) {
	const clientSigner, serving = certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	type change = func(*x509.CertificateRequest, *certificatesv1.CertificateSigningRequest)
	cases := []struct {
		name, signer string
		change       change
		node         *corev1.Node
		want         Verdict
		permissions  string
	}{
		{"renewal", clientSigner, nil, nil, Ask, "selfnodeclient nodeclient"},
		{"joining", clientSigner, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Username = "system:bootstrap:x"
		}, nil, Ask, "nodeclient"},
		{"client with a name", clientSigner, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.DNSNames = []string{"x"}
		}, nil, Ignore, ""},
		{"client of another group", clientSigner, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.Subject.Organization = []string{"system:masters"}
		}, nil, Ignore, ""},
		{"client that is no node", clientSigner, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.Subject.CommonName = "jane"
		}, nil, Ignore, ""},
		{"client that also serves", clientSigner, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, "server auth")
		}, nil, Ignore, ""},
		{"client with key encipherment", clientSigner, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, "key encipherment")
		}, nil, Ask, "selfnodeclient nodeclient"},
		{"denied", clientSigner, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied}}
		}, nil, Ignore, ""},
		{"nonsense", clientSigner, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Request = []byte("x")
		}, nil, Ignore, ""},
		{"another signer", "example.com/x", nil, nil, Ignore, ""},
		{"serving", serving, nil, node(), Approve, ""},
		{"serving by host name", serving, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.DNSNames = []string{"host1"}
		}, node(), Approve, ""},
		{"serving of an unknown node", serving, nil, nil, Wait, ""},
		{"serving for another address", serving, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.IPAddresses = append(r.IPAddresses, net.ParseIP("192.0.2.8"))
		}, node(), Wait, ""},
		{"serving for another name", serving, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.DNSNames = []string{"kubernetes"}
		}, node(), Wait, ""},
		{"serving asked by another", serving, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Username = "system:node:n2"
		}, node(), Ignore, ""},
		{"serving asked by no node", serving, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) { c.Spec.Groups = nil }, node(), Ignore, ""},
		{"serving nothing", serving, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.DNSNames, r.IPAddresses = nil, nil
		}, node(), Ignore, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(ask(t, c.signer, c.change), c.node)
			if d.Verdict != c.want || strings.Join(d.Permissions, " ") != c.permissions {
				t.Errorf("decision %+v", d)
			}
		})
	}
}

func authority(t *testing.T) *Authority {
	t.Helper()
	k := key(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{Certificate: cert, Key: k, MaxLife: 30 * 24 * time.Hour, Random: rand.Reader}
}

func TestSign(t *testing.T) {
	ca := authority(t)
	sign := func(csr *certificatesv1.CertificateSigningRequest) *x509.Certificate {
		data, err := Sign(csr, ca, start)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	cert := sign(ask(t, certificatesv1.KubeAPIServerClientKubeletSignerName, nil))
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	opts := x509.VerifyOptions{Roots: pool, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := cert.Verify(opts); err != nil {
		t.Error(err)
	}
	if cert.Subject.CommonName != "system:node:n1" || cert.IsCA || !cert.NotBefore.Equal(start.Add(-backdate)) {
		t.Errorf("certificate %v %v", cert.Subject, cert.NotBefore)
	}
	if want := start.Add(30*24*time.Hour - backdate); !cert.NotAfter.Equal(want) {
		t.Errorf("ends %v, want %v", cert.NotAfter, want)
	}
	lives := map[int32]time.Duration{1: 10 * time.Minute, 3600: time.Hour, 1 << 30: 30*24*time.Hour - backdate}
	for asked, want := range lives {
		cert := sign(ask(t, certificatesv1.KubeletServingSignerName, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.ExpirationSeconds = &asked
		}))
		if got := cert.NotAfter.Sub(start); got != want {
			t.Errorf("asked for %ds, got %v", asked, got)
		}
		if !slices.Equal(cert.DNSNames, []string{"n1"}) {
			t.Errorf("names %v", cert.DNSNames)
		}
	}
	late := start.AddDate(1, 0, -1)
	data, err := Sign(ask(t, certificatesv1.KubeAPIServerClientKubeletSignerName, nil), ca, late)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if cert, _ := x509.ParseCertificate(block.Bytes); cert.NotAfter.After(ca.Certificate.NotAfter) {
		t.Error("a certificate outlives its authority")
	}
	for name, bad := range map[string]*certificatesv1.CertificateSigningRequest{
		"masters": ask(t, certificatesv1.KubeAPIServerClientSignerName, func(r *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
			r.Subject.Organization = []string{"system:masters"}
		}),
		"a server as a client": ask(t, certificatesv1.KubeAPIServerClientSignerName, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = []certificatesv1.KeyUsage{"server auth"}
		}),
		"unknown signer": ask(t, "example.com/x", nil),
	} {
		var wrong *ValidationError
		if _, err := Sign(bad, ca, start); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestControllerLetsNodesJoin(t *testing.T) {
	ca := authority(t)
	joining := ask(t, certificatesv1.KubeAPIServerClientKubeletSignerName, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
		c.Name, c.Spec.Username = "joining", "system:bootstrap:x"
	})
	stranger := ask(t, certificatesv1.KubeAPIServerClientKubeletSignerName, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) {
		c.Name, c.Spec.Username = "stranger", "eve"
	})
	serving := ask(t, certificatesv1.KubeletServingSignerName, func(_ *x509.CertificateRequest, c *certificatesv1.CertificateSigningRequest) { c.Name = "serving" })
	synctest.Test(t, func(t *testing.T) {
		c := clientfake.New(nil)
		c.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			review, ok := w.Object.(*authorizationv1.SubjectAccessReview)
			if !ok {
				return nil, false, nil
			}
			answer := review.DeepCopy()
			a := answer.Spec.ResourceAttributes
			answer.Status.Allowed = answer.Spec.User == "system:bootstrap:x" && a.Subresource == "nodeclient" && a.Verb == "create"
			return answer, true, nil
		})
		controller := &Controller{Client: c, CA: ca, Now: func() time.Time { return start }, Logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- controller.Run(ctx) }()
		for _, csr := range []*certificatesv1.CertificateSigningRequest{joining, stranger, serving} {
			c.Load(csr)
		}
		signed := func(name string) bool {
			synctest.Wait()
			csr, err := client.Get[*certificatesv1.CertificateSigningRequest](ctx, c, requests(), "", name)
			if err != nil {
				t.Fatal(err)
			}
			return len(csr.Status.Certificate) > 0
		}
		if !signed("joining") || signed("stranger") || signed("serving") {
			t.Errorf("joining %v, stranger %v, serving %v", signed("joining"), signed("stranger"), signed("serving"))
		}
		c.Load(node())
		if !signed("serving") {
			t.Error("the node registered, and its serving certificate is missing")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// FuzzParse: nothing makes it panic, and what it accepts has a good signature.
func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if req, err := Parse(data); err == nil && req.CheckSignature() != nil {
			t.Fatal("accepted a bad signature")
		}
	})
}
