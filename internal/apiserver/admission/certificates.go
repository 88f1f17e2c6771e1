package admission

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
)

const signingRequests = "certificatesigningrequests"

// CertificateApproval lets only those approve or deny a request who may "approve" for its signer.
type CertificateApproval struct {
	admitNothing
	authorizer authz.Authorizer
}

// NewCertificateApproval returns the plugin.
func NewCertificateApproval(a authz.Authorizer) *CertificateApproval {
	return &CertificateApproval{authorizer: a}
}

// Name implements Plugin.
func (*CertificateApproval) Name() string { return "CertificateApproval" }

// Validate implements Plugin.
func (p *CertificateApproval) Validate(ctx context.Context, op *Operation) error {
	if op.Verb != opUpdate || op.groupResource() != resource(certificatesv1.GroupName, signingRequests) ||
		op.Subresource != "approval" {
		return nil
	}
	// The old object counts: a caller could write another signer into the new one.
	old, ok := op.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return op.unexpected(op.Old)
	}
	if !maySign(ctx, p.authorizer, op.User, "approve", old.Spec.SignerName) {
		return op.forbid("user not permitted to approve requests with signerName %q", old.Spec.SignerName)
	}
	return nil
}

// CertificateSigning lets only those write a certificate who may "sign" for the request's signer.
type CertificateSigning struct {
	admitNothing
	authorizer authz.Authorizer
}

// NewCertificateSigning returns the plugin.
func NewCertificateSigning(a authz.Authorizer) *CertificateSigning {
	return &CertificateSigning{authorizer: a}
}

// Name implements Plugin.
func (*CertificateSigning) Name() string { return "CertificateSigning" }

// Validate implements Plugin.
func (p *CertificateSigning) Validate(ctx context.Context, op *Operation) error {
	if op.Verb != opUpdate || op.groupResource() != resource(certificatesv1.GroupName, signingRequests) ||
		op.Subresource != "status" {
		return nil
	}
	csr, ok := op.Object.(*certificatesv1.CertificateSigningRequest)
	old, wasCSR := op.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok || !wasCSR {
		return op.unexpected(op.Object)
	}
	if bytes.Equal(old.Status.Certificate, csr.Status.Certificate) &&
		equality.Semantic.DeepEqual(old.Status.Conditions, csr.Status.Conditions) {
		return nil
	}
	if !maySign(ctx, p.authorizer, op.User, "sign", old.Spec.SignerName) {
		return op.forbid("user not permitted to sign requests with signerName %q", old.Spec.SignerName)
	}
	return nil
}

// maySign asks for the signer itself, then for all signers of its domain.
func maySign(ctx context.Context, a authz.Authorizer, user request.User, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		decision, _, _ := a.Authorize(ctx, &request.Attributes{
			User: user, Verb: verb, IsResource: true,
			Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: name,
		})
		if decision == authz.Allow {
			return true
		}
	}
	return false
}

// CertificateSubjectRestriction refuses client certificates for system:masters: nobody could take them back.
type CertificateSubjectRestriction struct{ admitNothing }

// NewCertificateSubjectRestriction returns the plugin.
func NewCertificateSubjectRestriction() *CertificateSubjectRestriction {
	return &CertificateSubjectRestriction{}
}

// Name implements Plugin.
func (*CertificateSubjectRestriction) Name() string { return "CertificateSubjectRestriction" }

// Validate implements Plugin.
func (*CertificateSubjectRestriction) Validate(_ context.Context, op *Operation) error {
	if op.Verb != opCreate || !op.on(certificatesv1.GroupName, signingRequests) {
		return nil
	}
	csr, ok := op.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return op.unexpected(op.Object)
	}
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	parsed, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return op.forbid("failed to parse CSR: %w", err)
	}
	if slices.Contains(parsed.Subject.Organization, request.GroupMasters) {
		return op.forbid("use of %s signer with system:masters group is not allowed", csr.Spec.SignerName)
	}
	return nil
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing certificate request: %w", err)
	}
	return parsed, nil
}
