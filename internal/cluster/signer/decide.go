package signer

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	certv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/cluster/pki"
)

// How long a request is kept after it was answered, or when nobody answers.
const (
	keepAnswered = time.Hour
	keepPending  = 24 * time.Hour
	// minLife is the shortest certificate that a request may ask for; the API has the same limit.
	minLife = 10 * time.Minute
)

// action is what is to be done with a request.
type action int

const (
	nothing action = iota
	// askWhether means: approve it if the authorizer lets the requestor create the named subresource.
	askWhether
	approve
	sign
	fail
	remove
)

// decision is an action with its reason. At says when to look again although nothing has changed.
type decision struct {
	action      action
	subresource string
	message     string
	at          time.Time
}

// decide says what is to be done with a request. node returns a Node by name, or nil. reserved are addresses that no node may
// have a certificate for.
func decide(
	csr *certv1.CertificateSigningRequest, node func(string) *corev1.Node, reserved netip.Prefix, now time.Time,
) decision {
	answered := len(csr.Status.Certificate) > 0 || has(csr, certv1.CertificateDenied) || has(csr, certv1.CertificateFailed)
	keep := keepPending
	if answered {
		keep = keepAnswered
	}
	end := csr.CreationTimestamp.Add(keep)
	switch {
	case !known(csr.Spec.SignerName):
		return decision{}
	case !now.Before(end):
		return decision{action: remove}
	case answered:
		return decision{at: end}
	case has(csr, certv1.CertificateApproved):
		return decideSigning(csr)
	default:
		d := decideApproval(csr, node, reserved)
		d.at = end
		return d
	}
}

func known(signer string) bool {
	return signer == certv1.KubeAPIServerClientKubeletSignerName || signer == certv1.KubeletServingSignerName ||
		signer == certv1.KubeAPIServerClientSignerName
}

func has(csr *certv1.CertificateSigningRequest, kind certv1.RequestConditionType) bool {
	for i := range csr.Status.Conditions {
		if csr.Status.Conditions[i].Type == kind {
			return true
		}
	}
	return false
}

// decideSigning checks what an approval alone does not make right: a signer signs nothing that its name does not stand for.
func decideSigning(csr *certv1.CertificateSigningRequest) decision {
	request, err := parse(csr.Spec.Request)
	if err == nil {
		switch csr.Spec.SignerName {
		case certv1.KubeAPIServerClientKubeletSignerName:
			err = checkNodeClient(csr, request)
		case certv1.KubeletServingSignerName:
			err = checkNodeServing(csr, request)
		default:
			err = checkUsages(csr, certv1.UsageClientAuth)
		}
	}
	if err != nil {
		return decision{action: fail, message: err.Error()}
	}
	return decision{action: sign}
}

func decideApproval(csr *certv1.CertificateSigningRequest, node func(string) *corev1.Node, reserved netip.Prefix) decision {
	request, err := parse(csr.Spec.Request)
	if err != nil {
		return decision{action: fail, message: err.Error()}
	}
	switch csr.Spec.SignerName {
	case certv1.KubeAPIServerClientKubeletSignerName:
		if checkNodeClient(csr, request) != nil {
			return decision{} // An administrator may still deny it, or find out whose it is.
		}
		if request.Subject.CommonName == csr.Spec.Username {
			return decision{action: askWhether, subresource: "selfnodeclient"}
		}
		return decision{action: askWhether, subresource: "nodeclient"}
	case certv1.KubeletServingSignerName:
		if checkNodeServing(csr, request) != nil || csr.Spec.Username != request.Subject.CommonName {
			return decision{}
		}
		if !addressesOf(node(strings.TrimPrefix(csr.Spec.Username, pki.NodeUser(""))), request, reserved) {
			return decision{} // The Node may get its addresses later.
		}
		return decision{action: approve, message: "the node asks for its own name and addresses"}
	default:
		return decision{}
	}
}

// addressesOf tells whether a request names nothing but what the Node has. Names and addresses of services would let a node
// pose as the API server.
func addressesOf(node *corev1.Node, request *x509.CertificateRequest, reserved netip.Prefix) bool {
	if node == nil {
		return false
	}
	allowed := map[string]bool{node.Name: true}
	for _, address := range node.Status.Addresses {
		allowed[address.Address] = true
	}
	for _, name := range request.DNSNames {
		if name != node.Name && (!allowed[name] || strings.HasPrefix(name+".", "kubernetes.") || name == "localhost") {
			return false
		}
	}
	for _, ip := range request.IPAddresses {
		address, ok := netip.AddrFromSlice(ip)
		if !ok || !allowed[address.Unmap().String()] || address.IsLoopback() || reserved.Contains(address.Unmap()) {
			return false
		}
	}
	return true
}

func parse(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("spec.request holds no certificate request in PEM form")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("spec.request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("spec.request: %w", err)
	}
	return request, nil
}

func checkSubject(request *x509.CertificateRequest) error {
	name, isNode := strings.CutPrefix(request.Subject.CommonName, pki.NodeUser(""))
	if !isNode || name == "" {
		return fmt.Errorf("the common name %q is not a node's", request.Subject.CommonName)
	}
	if !slices.Equal(request.Subject.Organization, []string{pki.NodesGroup}) {
		return fmt.Errorf("the organization must be %s alone", pki.NodesGroup)
	}
	if len(request.EmailAddresses) > 0 || len(request.URIs) > 0 {
		return errors.New("a node has no mail address and no URI")
	}
	return nil
}

func checkNodeClient(csr *certv1.CertificateSigningRequest, request *x509.CertificateRequest) error {
	if len(request.DNSNames) > 0 || len(request.IPAddresses) > 0 {
		return errors.New("a client certificate names no hosts")
	}
	return errors.Join(checkSubject(request), checkUsages(csr, certv1.UsageClientAuth))
}

func checkNodeServing(csr *certv1.CertificateSigningRequest, request *x509.CertificateRequest) error {
	if len(request.DNSNames)+len(request.IPAddresses) == 0 {
		return errors.New("a serving certificate names a host")
	}
	return errors.Join(checkSubject(request), checkUsages(csr, certv1.UsageServerAuth))
}

// checkUsages wants the extended usage, and besides it nothing but what TLS needs.
func checkUsages(csr *certv1.CertificateSigningRequest, extended certv1.KeyUsage) error {
	allowed := []certv1.KeyUsage{extended, certv1.UsageDigitalSignature, certv1.UsageKeyEncipherment}
	for _, usage := range csr.Spec.Usages {
		if !slices.Contains(allowed, usage) {
			return fmt.Errorf("the usage %q is not for this signer", usage)
		}
	}
	if !slices.Contains(csr.Spec.Usages, extended) {
		return fmt.Errorf("the usage %q is missing", extended)
	}
	return nil
}

// leafOf returns what is to be signed.
func leafOf(csr *certv1.CertificateSigningRequest, request *x509.CertificateRequest) pki.Leaf {
	leaf := pki.Leaf{
		CommonName: request.Subject.CommonName, Organizations: request.Subject.Organization, DNSNames: request.DNSNames,
		Server: slices.Contains(csr.Spec.Usages, certv1.UsageServerAuth),
		Client: slices.Contains(csr.Spec.Usages, certv1.UsageClientAuth),
	}
	for _, ip := range request.IPAddresses {
		if address, ok := netip.AddrFromSlice(ip); ok {
			leaf.Addresses = append(leaf.Addresses, address.Unmap())
		}
	}
	if csr.Spec.ExpirationSeconds != nil {
		leaf.Life = min(max(time.Duration(*csr.Spec.ExpirationSeconds)*time.Second, minLife), pki.LeafLife)
	}
	return leaf
}
