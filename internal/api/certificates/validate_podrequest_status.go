package certificates

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

const (
	maxChainBytes = 100 << 10
	// refreshMargin is how far a renewal must stay away from both ends of a certificate's life.
	refreshMargin = 10 * time.Minute
)

// validatePodRequestStatus judges the answer to a request: issued, denied or failed, once and for all. Upstream wants as well
// that a certificate's life begins about now; there is no clock here.
func validatePodRequestStatus(r, old *certificatesv1.PodCertificateRequest) field.ErrorList {
	at := field.NewPath("status")
	errs := validateAnswer(at.Child("conditions"), r.Status.Conditions)
	errs = append(errs, metavalidation.ValidateConditions(r.Status.Conditions, at.Child("conditions"))...)
	if len(errs) > 0 {
		return errs
	}
	switch {
	case len(old.Status.Conditions) > 0:
		if !equality.Semantic.DeepEqual(r.Status, old.Status) {
			return field.ErrorList{field.Invalid(at, field.OmitValueType{},
				"immutable after PodCertificateRequest is issued, denied, or failed")}
		}
	case len(r.Status.Conditions) == 0:
		if !equality.Semantic.DeepEqual(r.Status, old.Status) {
			return field.ErrorList{field.Invalid(at, field.OmitValueType{},
				`status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)}
		}
	case r.Status.Conditions[0].Type == certificatesv1.PodCertificateRequestConditionTypeIssued:
		return validateIssued(at, r)
	case !equality.Semantic.DeepEqual(r.Status, certificatesv1.PodCertificateRequestStatus{Conditions: r.Status.Conditions}):
		return field.ErrorList{field.Invalid(at, field.OmitValueType{},
			"non-condition status fields must be empty when denying or failing the PodCertificateRequest")}
	}
	return nil
}

func validateAnswer(at *field.Path, conditions []metav1.Condition) field.ErrorList {
	var errs field.ErrorList
	answers := 0
	for i, c := range conditions {
		at := at.Index(i)
		switch c.Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
			certificatesv1.PodCertificateRequestConditionTypeFailed:
			answers++
			if answers > 1 {
				errs = append(errs, field.Invalid(at.Child("type"), c.Type,
					`There may be at most one condition with type "Issued", "Denied", or "Failed"`))
			}
			errs = append(errs, rule.OneOf(at.Child("status"), c.Status, metav1.ConditionTrue)...)
		default:
			errs = append(errs, field.NotSupported(at.Child("type"), c.Type, []string{
				certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
				certificatesv1.PodCertificateRequestConditionTypeFailed,
			}))
		}
	}
	return errs
}

func validateIssued(at *field.Path, r *certificatesv1.PodCertificateRequest) field.ErrorList {
	chain := at.Child("certificateChain")
	if len(r.Status.CertificateChain) > maxChainBytes {
		return rule.MaxBytes(chain, r.Status.CertificateChain, maxChainBytes)
	}
	bad := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(chain, r.Status.CertificateChain, why)}
	}
	first, rest := pem.Decode([]byte(r.Status.CertificateChain))
	if first == nil {
		return bad("issued certificate chain must contain at least one certificate")
	}
	if first.Type != certificateBlock {
		return bad("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
	}
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return bad("leaf certificate does not parse as valid X.509")
	}
	errs := validateLeafNames(chain, leaf)
	if !hasKey(leaf, requestedKey(&r.Spec)) {
		return append(errs, bad("leaf certificate was not issued to the requested public key")...)
	}
	if errs = append(errs, validateLife(at, r, leaf)...); len(errs) > 0 {
		return errs
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if block.Type != certificateBlock {
			return bad("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return bad("intermediate certificate does not parse as valid X.509")
		}
	}
}

func validateLeafNames(chain *field.Path, leaf *x509.Certificate) field.ErrorList {
	var errs field.ErrorList
	for _, name := range leaf.DNSNames {
		if name == "" {
			errs = append(errs, field.Invalid(chain, name, "leaf certificate should not contain empty DNSName"))
		}
		if strings.Contains(name, "..") {
			errs = append(errs, field.Invalid(chain, name, "leaf certificate's DNSName should not contain '..'"))
		}
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			errs = append(errs, field.Invalid(chain, name, "leaf certificate's DNSName should not start or end with '.'"))
		}
	}
	for _, address := range leaf.EmailAddresses {
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, field.Invalid(chain, address, "leaf certificate should not contain invalid EmailAddress"))
		}
	}
	return errs
}

// requestedKey is nil when the request does not parse, which cannot be of one that was accepted.
func requestedKey(s *certificatesv1.PodCertificateRequestSpec) crypto.PublicKey {
	request, err := x509.ParseCertificateRequest(s.StubPKCS10Request)
	if err != nil {
		return nil
	}
	return request.PublicKey
}

func hasKey(leaf *x509.Certificate, want crypto.PublicKey) bool {
	key, ok := want.(interface {
		Equal(other crypto.PublicKey) bool
	})
	return ok && key.Equal(leaf.PublicKey)
}

// validateLife compares the times in the status with those in the certificate, and both with what was asked for.
func validateLife(at *field.Path, r *certificatesv1.PodCertificateRequest, leaf *x509.Certificate) field.ErrorList {
	const consistent = "must be present and consistent with the issued certificate"
	s := &r.Status
	var errs field.ErrorList
	required := func(name string, t *metav1.Time, why string) {
		if t == nil {
			errs = append(errs, field.Required(at.Child(name), why))
		}
	}
	required("notBefore", s.NotBefore, consistent)
	required("notAfter", s.NotAfter, consistent)
	required("beginRefreshAt", s.BeginRefreshAt, "must be present and in the range [notbefore+10min, notafter-10min]")
	if len(errs) > 0 {
		return errs
	}
	one := func(name string, value any, why string) field.ErrorList {
		return field.ErrorList{field.Invalid(at.Child(name), value, why)}
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	asked := maxLifetimeOf(r)
	switch {
	case !s.NotBefore.Time.Equal(leaf.NotBefore):
		return one("notBefore", s.NotBefore.Time, "must be set to the NotBefore time encoded in the leaf certificate")
	case !s.NotAfter.Time.Equal(leaf.NotAfter):
		return one("notAfter", s.NotAfter.Time, "must be set to the NotAfter time encoded in the leaf certificate")
	case life < time.Hour:
		return one("certificateChain", life, "leaf certificate lifetime must be >= 1 hour")
	case life > asked:
		return one("certificateChain", life,
			fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%d)", int64(asked/time.Second)))
	case s.BeginRefreshAt.Time.Before(s.NotBefore.Add(refreshMargin)):
		return one("beginRefreshAt", s.BeginRefreshAt.Time, "must be at least 10 minutes after status.notBefore")
	case s.BeginRefreshAt.Time.After(s.NotAfter.Add(-refreshMargin)):
		return one("beginRefreshAt", s.BeginRefreshAt.Time, "must be at least 10 minutes before status.notAfter")
	}
	return nil
}

func maxLifetimeOf(r *certificatesv1.PodCertificateRequest) time.Duration {
	if r.Spec.MaxExpirationSeconds == nil {
		return 0
	}
	return time.Duration(*r.Spec.MaxExpirationSeconds) * time.Second
}
