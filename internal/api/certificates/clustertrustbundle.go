package certificates

import (
	"fmt"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func clusterTrustBundle() *api.Resource {
	return meta.Entry[*certificatesv1.ClusterTrustBundle]{
		Group:   certificatesv1.GroupName,
		Version: "v1", Kind: "ClusterTrustBundle", Plural: "clustertrustbundles",
		New:      meta.New[certificatesv1.ClusterTrustBundle],
		NewList:  meta.Empty[certificatesv1.ClusterTrustBundleList],
		Path:     "clustertrustbundles",
		Name:     meta.AnyName,
		Validate: validateBundle,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("SignerName", certificatesv1.ClusterTrustBundleSpec{}.SwaggerDoc()["signerName"]),
		},
		Row: func(b *certificatesv1.ClusterTrustBundle, _ time.Time) []any {
			return []any{b.Name, meta.OrNone(b.Spec.SignerName)}
		},
		Fields: func(b *certificatesv1.ClusterTrustBundle) fields.Set {
			return fields.Set{"spec.signerName": b.Spec.SignerName}
		},
		ValidateUpdate: validateBundleUpdate,
	}.Resource()
}

// validateBundleName checks that a signer's bundle carries the signer's name before a colon, and that no other bundle has one.
func validateBundleName(b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	at, rest := field.NewPath("metadata", "name"), b.Name
	if signer := b.Spec.SignerName; signer != "" {
		prefix := strings.ReplaceAll(signer, "/", ":") + ":"
		var ok bool
		if rest, ok = strings.CutPrefix(b.Name, prefix); !ok {
			return field.ErrorList{field.Invalid(at, b.Name,
				fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, prefix))}
		}
	} else if strings.Contains(b.Name, ":") {
		return field.ErrorList{field.Invalid(at, b.Name,
			`ClusterTrustBundle without signer name must not have ":" in its name`)}
	}
	var errs field.ErrorList
	for _, msg := range meta.DNSSubdomain(rest, false) {
		errs = append(errs, field.Invalid(at, b.Name, msg))
	}
	return errs
}
