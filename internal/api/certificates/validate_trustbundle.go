package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

const (
	maxBundleBytes = 1 << 20
	omitted        = "<value omitted>"
)

func validateBundle(b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	return append(validateBundleHead(b), validateAnchors(field.NewPath("spec", "trustBundle"), b.Spec.TrustBundle)...)
}

func validateBundleHead(b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	errs := validateBundleName(b)
	if b.Spec.SignerName != "" {
		errs = append(errs, core.ValidateSignerName(field.NewPath("spec", "signerName"), b.Spec.SignerName)...)
	}
	return errs
}

// validateBundleUpdate looks into the bundle only when it changes, since what parses may change with this program.
func validateBundleUpdate(b, old *certificatesv1.ClusterTrustBundle) field.ErrorList {
	errs := validateBundleHead(b)
	if b.Spec.TrustBundle != old.Spec.TrustBundle {
		errs = append(errs, validateAnchors(field.NewPath("spec", "trustBundle"), b.Spec.TrustBundle)...)
	}
	return append(errs, rule.Unchanged(field.NewPath("spec", "signerName"), b.Spec.SignerName, old.Spec.SignerName)...)
}

// validateAnchors wants a certificate authority in every block, and each only once.
func validateAnchors(at *field.Path, text string) field.ErrorList {
	if len(text) > maxBundleBytes {
		return rule.MaxBytes(at, text, maxBundleBytes)
	}
	var errs, repeated field.ErrorList
	seen := map[string]int{}
	rest := []byte(text)
	for i := 0; ; i++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if why := anchorProblem(block); why != "" {
			errs = append(errs, field.Invalid(at, omitted, fmt.Sprintf("entry %d %s", i, why)))
			continue
		}
		if first, ok := seen[string(block.Bytes)]; ok {
			repeated = append(repeated, field.Invalid(at, omitted,
				fmt.Sprintf("duplicate trust anchor (indices [%d %d])", first, i)))
			continue
		}
		seen[string(block.Bytes)] = i
	}
	switch {
	case len(errs) > 0:
		return errs
	case len(seen) == 0:
		return field.ErrorList{field.Invalid(at, omitted, "at least one trust anchor must be provided")}
	}
	return repeated
}

func anchorProblem(block *pem.Block) string {
	if block.Type != certificateBlock {
		return fmt.Sprintf("has bad block type: %v", block.Type)
	}
	if len(block.Headers) > 0 {
		return "has PEM block headers"
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !cert.IsCA:
		return "does not have the CA bit set"
	case !cert.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}
