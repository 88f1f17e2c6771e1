package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

const (
	// legacySigner was given by a beta version to requests that named no signer.
	legacySigner = "kubernetes.io/legacy-unknown"
	// minSeconds is the shortest lifetime that can be asked for.
	minSeconds       = 600
	certificateBlock = "CERTIFICATE"
)

// requestRules are what a request may have or change: what a stored one may keep although new ones may not have it, and what
// the subresource written to is for.
type requestRules struct {
	approve     bool
	issue       bool
	bothAnswers bool
	// The following are forms that a beta version let pass.
	legacySigner    bool
	repeatedTypes   bool
	emptyTypes      bool
	anyCertificate  bool
	unknownUsages   bool
	duplicateUsages bool
}

func validateRequest(r *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return requestRules{}.validate(r)
}

func validateRequestUpdate(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return rulesAfter(r, old).validateUpdate(r, old)
}

func validateRequestStatus(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	rules := rulesAfter(r, old)
	rules.issue = true
	return rules.validateUpdate(r, old)
}

func validateApproval(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	rules := rulesAfter(r, old)
	rules.approve = true
	return rules.validateUpdate(r, old)
}

func rulesAfter(r, old *certificatesv1.CertificateSigningRequest) requestRules {
	was := func(t certificatesv1.RequestConditionType) bool { return len(conditionsOf(old, t)) > 0 }
	rules := requestRules{
		bothAnswers:  was(certificatesv1.CertificateApproved) && was(certificatesv1.CertificateDenied),
		legacySigner: old.Spec.SignerName == legacySigner,
		emptyTypes:   was(""),
		anyCertificate: bytes.Equal(r.Status.Certificate, old.Status.Certificate) ||
			certificateProblem(old.Status.Certificate) != nil,
		unknownUsages:   slices.ContainsFunc(old.Spec.Usages, isUnknownUsage),
		duplicateUsages: len(rule.NoDuplicates(nil, old.Spec.Usages)) > 0,
	}
	for i := range old.Status.Conditions {
		rules.repeatedTypes = rules.repeatedTypes || len(conditionsOf(old, old.Status.Conditions[i].Type)) > 1
	}
	return rules
}

func (rules requestRules) validate(r *certificatesv1.CertificateSigningRequest) field.ErrorList {
	at, s := field.NewPath("spec"), &r.Spec
	var errs field.ErrorList
	if err := requestProblem(s.Request); err != nil {
		errs = append(errs, field.Invalid(at.Child("request"), s.Request, err.Error()))
	}
	errs = append(errs, rules.validateUsages(at.Child("usages"), s.Usages)...)
	if !rules.legacySigner && s.SignerName == legacySigner {
		errs = append(errs, field.Invalid(at.Child("signerName"), s.SignerName,
			"the legacy signerName is not allowed via this API version"))
	} else {
		errs = append(errs, core.ValidateSignerName(at.Child("signerName"), s.SignerName)...)
	}
	if n := s.ExpirationSeconds; n != nil && *n < minSeconds {
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *n,
			"may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, rules.validateConditions(field.NewPath("status", "conditions"), r.Status.Conditions)...)
	if !rules.anyCertificate {
		if err := certificateProblem(r.Status.Certificate); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
		}
	}
	return errs
}

// requestProblem says what is wrong with a PEM-encoded request, its signature included.
func requestProblem(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	return request.CheckSignature()
}

// certificateProblem says what is wrong with PEM-encoded certificates; having none is all right.
func certificateProblem(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) > 0 {
			return errors.New("no PEM block headers are permitted")
		}
		found, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
	}
	return nil
}

// keyUsages are the known ones, in the order in which errors name them.
func keyUsages() []certificatesv1.KeyUsage {
	return []certificatesv1.KeyUsage{
		certificatesv1.UsageAny, certificatesv1.UsageCertSign, certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning,
		certificatesv1.UsageContentCommitment, certificatesv1.UsageCRLSign, certificatesv1.UsageDataEncipherment,
		certificatesv1.UsageDecipherOnly, certificatesv1.UsageDigitalSignature, certificatesv1.UsageEmailProtection,
		certificatesv1.UsageEncipherOnly, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
		certificatesv1.UsageIPsecUser, certificatesv1.UsageKeyAgreement, certificatesv1.UsageKeyEncipherment,
		certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC, certificatesv1.UsageOCSPSigning,
		certificatesv1.UsageSMIME, certificatesv1.UsageServerAuth, certificatesv1.UsageSigning, certificatesv1.UsageTimestamping,
	}
}

func isUnknownUsage(u certificatesv1.KeyUsage) bool { return !slices.Contains(keyUsages(), u) }

func (rules requestRules) validateUsages(at *field.Path, usages []certificatesv1.KeyUsage) field.ErrorList {
	if len(usages) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for i, u := range usages {
		if !rules.unknownUsages && isUnknownUsage(u) {
			errs = append(errs, field.NotSupported(at.Index(i), u, keyUsages()))
		}
	}
	if !rules.duplicateUsages {
		errs = append(errs, rule.NoDuplicates(at, usages)...)
	}
	return errs
}

func (rules requestRules) validateConditions(
	at *field.Path, list []certificatesv1.CertificateSigningRequestCondition,
) field.ErrorList {
	var errs field.ErrorList
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range list {
		at := at.Index(i)
		if !rules.emptyTypes {
			errs = append(errs, rule.Given(at.Child("type"), c.Type)...)
		}
		switch c.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			errs = append(errs, rule.GivenOneOf(at.Child("status"), c.Status, corev1.ConditionTrue)...)
		default:
			errs = append(errs, rule.GivenOneOf(at.Child("status"), c.Status,
				corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
		}
		if !rules.repeatedTypes && seen[c.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	if seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied] && !rules.bothAnswers {
		const approved, denied = `conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`
		errs = append(errs, field.Invalid(at, fmt.Sprintf("{%s, %s}", approved, denied),
			fmt.Sprintf("must specify at most one of: `%s`, `%s`", approved, denied)))
	}
	return errs
}

func (rules requestRules) validateUpdate(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := rules.validate(r)
	at := field.NewPath("status", "conditions")
	refuse := func(what string, t certificatesv1.RequestConditionType) {
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not %s a condition of type %q", what, t)))
	}
	for _, t := range []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed,
	} {
		is, was := conditionsOf(r, t), conditionsOf(old, t)
		free := rules.approve || t == certificatesv1.CertificateFailed
		switch {
		case len(is) < len(was):
			refuse("remove", t)
		case free:
		case len(is) > len(was):
			refuse("add", t)
		case !equality.Semantic.DeepEqual(is, was):
			errs = append(errs, field.Forbidden(at,
				fmt.Sprintf("updates may not modify a condition of type %q\n%v", t, diff.Diff(was, is))))
		}
	}
	return append(errs, rules.validateIssue(r, old)...)
}

func (rules requestRules) validateIssue(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	at := field.NewPath("status", "certificate")
	switch {
	case bytes.Equal(r.Status.Certificate, old.Status.Certificate):
	case !rules.issue:
		return field.ErrorList{field.Forbidden(at, "updates may not set certificate content")}
	case len(old.Status.Certificate) > 0:
		return field.ErrorList{field.Forbidden(at, "updates may not modify existing certificate content")}
	}
	return nil
}
