package csr

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	nodeGroup  = "system:nodes"
	nodePrefix = "system:node:"
)

// Verdict is what to do with a request.
type Verdict int

// The verdicts.
const (
	// Ignore: someone else decides, or it is decided.
	Ignore Verdict = iota
	// Ask: approve if the requester may create one of Decision.Permissions.
	Ask
	// Approve at once.
	Approve
	// Wait until the node has registered what is asked for.
	Wait
)

// Decision says what to do with a request, and why.
type Decision struct {
	Verdict Verdict
	// Permissions are subresources of certificatesigningrequests, one of which the requester must be allowed to create.
	Permissions []string
	// Message goes into the approval's condition.
	Message string
}

// Decide judges a request. node is the Node of that name the request is for (see NodeOf), nil when there is none.
func Decide(csr *certificatesv1.CertificateSigningRequest, node *corev1.Node) Decision {
	if len(csr.Status.Certificate) > 0 || isDecided(csr) {
		return Decision{}
	}
	req, err := Parse(csr.Spec.Request)
	if err != nil {
		return Decision{}
	}
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		if validateNodeClient(req, csr.Spec.Usages) != nil {
			return Decision{}
		}
		d := Decision{
			Verdict: Ask, Permissions: []string{"nodeclient"},
			Message: "Auto approving kubelet client certificate after SubjectAccessReview.",
		}
		if csr.Spec.Username == req.Subject.CommonName {
			d.Permissions = []string{"selfnodeclient", "nodeclient"}
			d.Message = "Auto approving self kubelet client certificate after SubjectAccessReview."
		}
		return d
	case certificatesv1.KubeletServingSignerName:
		return decideServing(csr, req, node)
	}
	return Decision{}
}

// NodeOf returns the node that a request is for, empty when it is for none.
func NodeOf(csr *certificatesv1.CertificateSigningRequest) string {
	req, err := Parse(csr.Spec.Request)
	if err != nil {
		return ""
	}
	name, ok := strings.CutPrefix(req.Subject.CommonName, nodePrefix)
	if !ok {
		return ""
	}
	return name
}

func decideServing(
	csr *certificatesv1.CertificateSigningRequest, req *x509.CertificateRequest, node *corev1.Node,
) Decision {
	asksForItself := csr.Spec.Username == req.Subject.CommonName && slices.Contains(csr.Spec.Groups, nodeGroup)
	if !asksForItself || validateNodeServing(req, csr.Spec.Usages) != nil {
		return Decision{}
	}
	if node == nil || !ownNames(req, node) {
		return Decision{Verdict: Wait}
	}
	return Decision{Verdict: Approve, Message: "Auto approving kubelet serving certificate for the node's own addresses."}
}

// ownNames tells whether every name and address asked for is one of the node's.
func ownNames(req *x509.CertificateRequest, node *corev1.Node) bool {
	for _, name := range req.DNSNames {
		if name != node.Name && !hasAddress(node, name) {
			return false
		}
	}
	for _, ip := range req.IPAddresses {
		if !slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
			return ip.Equal(net.ParseIP(a.Address))
		}) {
			return false
		}
	}
	return true
}

func hasAddress(node *corev1.Node, name string) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
		switch a.Type {
		case corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS:
			return a.Address == name
		case corev1.NodeInternalIP, corev1.NodeExternalIP:
		}
		return false
	})
}

func isDecided(csr *certificatesv1.CertificateSigningRequest) bool {
	return slices.ContainsFunc(csr.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied
	})
}

// ready tells whether a request waits for its certificate: approved, not denied, not failed.
func ready(csr *certificatesv1.CertificateSigningRequest) bool {
	approved := false
	for _, c := range csr.Status.Conditions {
		switch c.Type {
		case certificatesv1.CertificateApproved:
			approved = true
		case certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			return false
		}
	}
	return approved && len(csr.Status.Certificate) == 0
}

// Parse reads a PEM-encoded request and checks that its maker has the key.
func Parse(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing certificate request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("checking signature of certificate request: %w", err)
	}
	return req, nil
}

func validateNodeSubject(req *x509.CertificateRequest) error {
	if !slices.Equal(req.Subject.Organization, []string{nodeGroup}) {
		return errors.New("subject organization is not system:nodes")
	}
	if name, ok := strings.CutPrefix(req.Subject.CommonName, nodePrefix); !ok || name == "" {
		return errors.New("subject common name does not begin with system:node:")
	}
	if len(req.EmailAddresses) > 0 {
		return errors.New("email subjectAltNames are not allowed")
	}
	if len(req.URIs) > 0 {
		return errors.New("URI subjectAltNames are not allowed")
	}
	return nil
}

func validateNodeClient(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := validateNodeSubject(req); err != nil {
		return err
	}
	if len(req.DNSNames) > 0 {
		return errors.New("DNS subjectAltNames are not allowed")
	}
	if len(req.IPAddresses) > 0 {
		return errors.New("IP subjectAltNames are not allowed")
	}
	return exactUsages(usages, certificatesv1.UsageClientAuth)
}

func validateNodeServing(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := validateNodeSubject(req); err != nil {
		return err
	}
	if len(req.DNSNames) == 0 && len(req.IPAddresses) == 0 {
		return errors.New("DNS or IP subjectAltName is required")
	}
	return exactUsages(usages, certificatesv1.UsageServerAuth)
}

// exactUsages wants digital signature and the purpose, and allows key encipherment, which RSA keys need.
func exactUsages(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	want := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, purpose}
	for _, u := range want {
		if !slices.Contains(usages, u) {
			return fmt.Errorf("usages did not match %v", want)
		}
	}
	for _, u := range usages {
		if !slices.Contains(want, u) && u != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("usages did not match %v", want)
		}
	}
	return nil
}
