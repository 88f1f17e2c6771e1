package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of pods' requests: bytes, and seconds of a certificate's life.
const (
	maxKeyBytes         = 10 << 10
	maxUIDBytes         = 128
	minLifetime         = 60 * 60
	maxLifetime         = 91 * 24 * 60 * 60
	maxKubernetesSigned = 24 * 60 * 60
)

func validatePodRequest(r *certificatesv1.PodCertificateRequest) field.ErrorList {
	at, s := field.NewPath("spec"), &r.Spec
	errs := core.ValidateSignerName(at.Child("signerName"), s.SignerName)
	if s.UnverifiedUserAnnotations != nil {
		errs = append(errs, core.ValidateUserAnnotations(at.Child("unverifiedUserAnnotations"), s.UnverifiedUserAnnotations)...)
	}
	errs = append(errs, rule.DNSSubdomain(at.Child("podName"), s.PodName)...)
	errs = append(errs, validateUID(at.Child("podUID"), s.PodUID)...)
	errs = append(errs, rule.DNSSubdomain(at.Child("serviceAccountName"), s.ServiceAccountName)...)
	errs = append(errs, validateUID(at.Child("serviceAccountUID"), s.ServiceAccountUID)...)
	errs = append(errs, rule.DNSSubdomain(at.Child("nodeName"), string(s.NodeName))...)
	errs = append(errs, validateUID(at.Child("nodeUID"), s.NodeUID)...)
	if s.MaxExpirationSeconds == nil {
		return append(errs, field.Required(at.Child("maxExpirationSeconds"), "must be set"))
	}
	limit := int32(maxLifetime)
	if core.IsKubernetesSigner(s.SignerName) {
		limit = maxKubernetesSigned
	}
	if n := *s.MaxExpirationSeconds; n < minLifetime || n > limit {
		errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), n,
			fmt.Sprintf("must be in the range [%d, %d]", minLifetime, limit)))
	}
	return append(errs, validateKey(at, s)...)
}

// validatePodRequestUpdate: a request that has been made stays as it is.
func validatePodRequestUpdate(r, old *certificatesv1.PodCertificateRequest) field.ErrorList {
	return rule.Unchanged(field.NewPath("spec"), r.Spec, old.Spec)
}

func validateUID(at *field.Path, uid types.UID) field.ErrorList {
	if uid == "" {
		return field.ErrorList{field.Invalid(at, uid, "must not be empty")}
	}
	return rule.MaxBytes(at, string(uid), maxUIDBytes)
}

// validateKey judges the key to be certified, which comes in a request of which only key and signature count. Beta versions had
// another form, which the message still names.
func validateKey(at *field.Path, s *certificatesv1.PodCertificateRequestSpec) field.ErrorList {
	if len(s.StubPKCS10Request) == 0 {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{},
			"exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set")}
	}
	return validateStub(at.Child("stubPKCS10Request"), s.StubPKCS10Request)
}

func validateStub(at *field.Path, stub []byte) field.ErrorList {
	if len(stub) > maxKeyBytes {
		return field.ErrorList{field.TooLong(at, "", maxKeyBytes)}
	}
	request, err := x509.ParseCertificateRequest(stub)
	if err != nil {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "must be a valid PKCS#10 CSR")}
	}
	if errs := validateKeyKind(at, request.PublicKey); len(errs) > 0 {
		return errs
	}
	if err := request.CheckSignature(); err != nil {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "invalid signature")}
	}
	return nil
}

func validateKeyKind(at *field.Path, key crypto.PublicKey) field.ErrorList {
	switch key := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return field.ErrorList{field.Invalid(at, "curve "+key.Curve.Params().Name,
				"elliptic public keys must use curve P256, P384, or P521")}
		}
	case *rsa.PublicKey:
		if bits := key.Size() * 8; bits != 3072 && bits != 4096 {
			return field.ErrorList{field.Invalid(at, fmt.Sprintf("%d-bit modulus", bits),
				"RSA keys must have modulus size 3072 or 4096")}
		}
	default:
		return field.ErrorList{field.Invalid(at, field.OmitValueType{},
			"unknown public key type; supported types are Ed25519, ECDSA, and RSA")}
	}
	return nil
}
