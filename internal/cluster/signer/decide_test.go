package signer

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/netip"
	"testing"
	"time"

	certv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/cluster/pki"
)

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func request(t *testing.T, cn, org string, dns []string, ips ...string) []byte {
	t.Helper()
	key, _, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn, Organization: []string{org}}, DNSNames: dns}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func clientCSR(t *testing.T, user string) *certv1.CertificateSigningRequest {
	t.Helper()
	return &certv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "client", CreationTimestamp: metav1.NewTime(start())},
		Spec: certv1.CertificateSigningRequestSpec{
			SignerName: certv1.KubeAPIServerClientKubeletSignerName, Username: user,
			Usages:  []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageClientAuth},
			Request: request(t, "system:node:one", "system:nodes", nil),
		},
	}
}

func servingCSR(t *testing.T, dns []string, ips ...string) *certv1.CertificateSigningRequest {
	t.Helper()
	csr := clientCSR(t, "system:node:one")
	csr.Name, csr.Spec.SignerName = "serving", certv1.KubeletServingSignerName
	csr.Spec.Usages = []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageServerAuth}
	csr.Spec.Request = request(t, "system:node:one", "system:nodes", dns, ips...)
	return csr
}

func with(csr *certv1.CertificateSigningRequest, kind certv1.RequestConditionType) *certv1.CertificateSigningRequest {
	csr.Status.Conditions = append(csr.Status.Conditions, certv1.CertificateSigningRequestCondition{Type: kind})
	return csr
}

func change(csr *certv1.CertificateSigningRequest, f func(*certv1.CertificateSigningRequest)) *certv1.CertificateSigningRequest {
	f(csr)
	return csr
}

func TestDecide(t *testing.T) {
	one := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
		{Type: corev1.NodeHostName, Address: "one"},
		{Type: corev1.NodeExternalIP, Address: "10.43.0.1"},
		{Type: corev1.NodeHostName, Address: "kubernetes.default.svc"},
	}}}
	dns := []string{"one"}
	tests := []struct {
		name string
		csr  *certv1.CertificateSigningRequest
		node *corev1.Node
		now  time.Duration // after the request's creation
		want action
		sub  string
	}{
		{name: "a joining node", csr: clientCSR(t, "system:bootstrap:abcdef"), want: askWhether, sub: "nodeclient"},
		{name: "a node renews", csr: clientCSR(t, "system:node:one"), want: askWhether, sub: "selfnodeclient"},
		{name: "approved", csr: with(clientCSR(t, "x"), certv1.CertificateApproved), want: sign},
		{name: "denied", csr: with(clientCSR(t, "x"), certv1.CertificateDenied), want: nothing},
		{name: "failed", csr: with(clientCSR(t, "x"), certv1.CertificateFailed), want: nothing},
		{name: "denied and old", csr: with(clientCSR(t, "x"), certv1.CertificateDenied), now: keepAnswered, want: remove},
		{name: "never answered", csr: clientCSR(t, "x"), now: keepPending, want: remove},
		{name: "signed", csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Status.Certificate = []byte("x")
		})},
		{name: "another signer", csr: change(with(clientCSR(t, "x"), certv1.CertificateApproved),
			func(c *certv1.CertificateSigningRequest) { c.Spec.SignerName = "example.com/mine" })},
		{name: "no node's name", csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Spec.Request = request(t, "admin", "system:nodes", nil)
		})},
		{
			name: "masters, approved by mistake", want: fail,
			csr: change(with(clientCSR(t, "x"), certv1.CertificateApproved), func(c *certv1.CertificateSigningRequest) {
				c.Spec.Request = request(t, "system:node:one", "system:masters", nil)
			}),
		},
		{name: "a client that names hosts", csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Spec.Request = request(t, "system:node:one", "system:nodes", dns)
		})},
		{name: "a client that wants to serve", csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certv1.UsageServerAuth)
		})},
		{name: "no request", want: fail, csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Spec.Request = []byte("x")
		})},
		{name: "serving", csr: servingCSR(t, dns, "10.0.0.1"), node: one, want: approve},
		{name: "serving, no node yet", csr: servingCSR(t, dns, "10.0.0.1")},
		{name: "serving another's address", csr: servingCSR(t, dns, "10.0.0.2"), node: one},
		{name: "serving another's name", csr: servingCSR(t, []string{"two"}, "10.0.0.1"), node: one},
		{name: "serving a service's address", csr: servingCSR(t, dns, "10.43.0.1"), node: one},
		{name: "serving as the API server", csr: servingCSR(t, []string{"kubernetes.default.svc"}, "10.0.0.1"), node: one},
		{name: "serving, asked by another", node: one, csr: change(servingCSR(t, dns, "10.0.0.1"),
			func(c *certv1.CertificateSigningRequest) { c.Spec.Username = "system:node:two" })},
		{name: "a user, not approved", csr: change(clientCSR(t, "x"), func(c *certv1.CertificateSigningRequest) {
			c.Spec.SignerName = certv1.KubeAPIServerClientSignerName
		})},
		{name: "a user, approved", want: sign, csr: change(with(clientCSR(t, "x"), certv1.CertificateApproved),
			func(c *certv1.CertificateSigningRequest) { c.Spec.SignerName = certv1.KubeAPIServerClientSignerName })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			node := func(name string) *corev1.Node {
				if tt.node != nil && tt.node.Name == name {
					return tt.node
				}
				return nil
			}
			got := decide(tt.csr, node, netip.MustParsePrefix("10.43.0.0/16"), start().Add(tt.now))
			if got.action != tt.want || got.subresource != tt.sub {
				t.Errorf("got %+v, want %v %s", got, tt.want, tt.sub)
			}
		})
	}
}
