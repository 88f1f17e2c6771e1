package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// projection judges the sources of one projected volume, which share a folder.
type projection struct {
	at         *field.Path
	laxTokens  bool
	paths      sets.Set[string]
	collisions field.ErrorList
}

func (j *podJudge) validateProjected(at *field.Path, s *corev1.ProjectedVolumeSource) field.ErrorList {
	errs := slices.Concat(
		validateFileMode(at.Child("defaultMode"), s.DefaultMode),
		rule.UserID(at.Child("defaultUser"), s.DefaultUser))
	p := &projection{at: at, laxTokens: j.laxTokenPaths, paths: sets.New[string]()}
	for i := range s.Sources {
		errs = append(errs, p.validateSource(at.Child("sources").Index(i), &s.Sources[i])...)
	}
	return append(errs, p.collisions...)
}

// take notes a file's path; subject is what a collision is reported for.
func (p *projection) take(path, subject string) {
	if path != "" && p.paths.Has(path) {
		p.collisions = append(p.collisions, field.Invalid(p.at, subject, "conflicting duplicate paths"))
	}
	p.paths.Insert(path)
}

func (p *projection) validateSource(at *field.Path, s *corev1.VolumeProjection) field.ErrorList {
	var errs field.ErrorList
	sources := 0
	add := func(set bool, check func() field.ErrorList) {
		if set {
			sources++
			errs = append(errs, check()...)
		}
	}
	add(s.Secret != nil, func() field.ErrorList { return p.validateItems(at.Child("secret"), s.Secret.Name, s.Secret.Items) })
	add(s.ConfigMap != nil, func() field.ErrorList {
		return p.validateItems(at.Child("configMap"), s.ConfigMap.Name, s.ConfigMap.Items)
	})
	add(s.DownwardAPI != nil, func() field.ErrorList { return p.validateDownward(at.Child("downwardAPI"), s.DownwardAPI) })
	add(s.ServiceAccountToken != nil, func() field.ErrorList {
		return p.validateToken(at.Child("serviceAccountToken"), s.ServiceAccountToken)
	})
	add(s.ClusterTrustBundle != nil, func() field.ErrorList {
		return p.validateTrustBundle(at.Child("clusterTrustBundle"), s.ClusterTrustBundle)
	})
	add(s.PodCertificate != nil, func() field.ErrorList {
		return p.validateCertificate(at.Child("podCertificate"), s.PodCertificate)
	})
	if sources > 1 {
		errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type per source"))
	}
	return errs
}

func (p *projection) validateItems(at *field.Path, name string, items []corev1.KeyToPath) field.ErrorList {
	for _, k := range items {
		p.take(k.Path, name)
	}
	return append(rule.Given(at.Child("name"), name), validateItems(at.Child("items"), items)...)
}

func (p *projection) validateDownward(at *field.Path, s *corev1.DownwardAPIProjection) field.ErrorList {
	var errs field.ErrorList
	for i := range s.Items {
		errs = append(errs, validateDownwardFile(at, &s.Items[i])...)
		p.take(s.Items[i].Path, s.Items[i].Path)
	}
	return errs
}

func (p *projection) validateToken(at *field.Path, t *corev1.ServiceAccountTokenProjection) field.ErrorList {
	errs := ValidateTokenLifetime(at.Child("expirationSeconds"), t.ExpirationSeconds)
	if t.ExpirationSeconds == nil {
		errs = append(errs, field.Required(at.Child("expirationSeconds"), ""))
	}
	if t.Path == "" {
		errs = append(errs, field.Required(p.at.Child("path"), ""))
	} else if !p.laxTokens {
		errs = append(errs, rule.FileName(p.at.Child("path"), t.Path)...)
	}
	return append(errs, rule.UserID(at.Child("user"), t.User)...)
}

// ValidateTokenLifetime judges how long, in seconds, a service account's token is asked to be valid.
func ValidateTokenLifetime(at *field.Path, seconds *int64) field.ErrorList {
	switch {
	case seconds == nil:
		return nil
	case *seconds < 10*60:
		return field.ErrorList{field.Invalid(at, *seconds, "may not specify a duration less than 10 minutes")}
	case *seconds > 1<<32:
		return field.ErrorList{field.Invalid(at, *seconds, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

func (p *projection) validateTrustBundle(at *field.Path, b *corev1.ClusterTrustBundleProjection) field.ErrorList {
	var errs field.ErrorList
	switch {
	case b.Name != nil && b.SignerName != nil:
		errs = append(errs, field.Invalid(at, b, "only one of name and signerName may be used"))
	case b.Name != nil:
		errs = append(errs, validateTrustBundleRef(at, b)...)
	case b.SignerName != nil:
		if *b.SignerName == "" {
			errs = append(errs, field.Required(at.Child("signerName"), "must be a valid signer name"))
		}
		errs = slices.Concat(errs,
			ValidateSignerName(at.Child("signerName"), *b.SignerName),
			rule.Selector(at.Child("labelSelector"), b.LabelSelector, false))
	default:
		errs = append(errs, field.Required(at, "either name or signerName must be specified"))
	}
	p.take(b.Path, b.Path)
	return slices.Concat(errs,
		rule.Given(at.Child("path"), b.Path),
		rule.UserID(at.Child("user"), b.User),
		rule.FileName(at.Child("path"), b.Path))
}

func validateTrustBundleRef(at *field.Path, b *corev1.ClusterTrustBundleProjection) field.ErrorList {
	name := *b.Name
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), "must be a valid object name"))
	}
	signer := ""
	if i := strings.LastIndex(name, ":"); i >= 0 {
		signer = strings.ReplaceAll(name[:i], ":", "/")
	}
	for _, why := range TrustBundleName(signer)(name, false) {
		errs = append(errs, field.Invalid(at.Child("name"), name, fmt.Sprintf("not a valid clustertrustbundlename: %v", why)))
	}
	if b.LabelSelector != nil {
		errs = append(errs, field.Invalid(at.Child("labelSelector"), b.LabelSelector,
			"labelSelector must be unset if name is specified"))
	}
	return errs
}

// Limits of a certificate's lifetime, in seconds. Signers of Kubernetes itself keep it shorter.
const (
	minCertificateSeconds    = 3600
	maxCertificateSeconds    = 91 * 24 * 3600
	maxKubeCertificateSecond = 24 * 3600
)

func (p *projection) validateCertificate(at *field.Path, c *corev1.PodCertificateProjection) field.ErrorList {
	errs := slices.Concat(
		ValidateSignerName(at.Child("signerName"), c.SignerName),
		ValidateUserAnnotations(at.Child("userAnnotations"), c.UserAnnotations),
		rule.UserID(at.Child("user"), c.User),
		rule.OneOf(at.Child("keyType"), c.KeyType, "RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"))
	if s := c.MaxExpirationSeconds; s != nil {
		limit := int32(maxCertificateSeconds)
		if IsKubernetesSigner(c.SignerName) {
			limit = maxKubeCertificateSecond
		}
		if *s < minCertificateSeconds {
			errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *s,
				"if provided, maxExpirationSeconds must be >= 3600"))
		}
		if *s > limit {
			errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *s,
				fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", limit)))
		}
	}
	for _, f := range []struct{ name, path string }{
		{"credentialBundlePath", c.CredentialBundlePath},
		{"keyPath", c.KeyPath},
		{"certificateChainPath", c.CertificateChainPath},
	} {
		errs = append(errs, rule.FileName(at.Child(f.name), f.path)...)
		p.take(f.path, f.path)
	}
	if c.CredentialBundlePath == "" && c.KeyPath == "" && c.CertificateChainPath == "" {
		errs = append(errs, field.Required(at,
			"specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
	return errs
}

// ValidateUserAnnotations judges what a pod tells a signer of certificates: keys with a domain, of limited size.
func ValidateUserAnnotations(at *field.Path, annotations map[string]string) field.ErrorList {
	var errs field.ErrorList
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		errs = append(errs, utilvalidation.IsDomainPrefixedKey(at, strings.ToLower(k))...)
	}
	if validation.ValidateAnnotationsSize(annotations) != nil {
		errs = append(errs, field.TooLong(at, "", validation.TotalAnnotationSizeLimitB))
	}
	return errs
}

// IsKubernetesSigner tells whether a signer's name is one that the Kubernetes project has reserved.
func IsKubernetesSigner(name string) bool {
	host, _, _ := strings.Cut(name, "/")
	return host == "kubernetes.io" || strings.HasSuffix(host, ".kubernetes.io")
}

// TrustBundleName returns the name rule of ClusterTrustBundles: those of a signer begin with the signer's name.
func TrustBundleName(signer string) meta.NameRule {
	return func(name string, prefix bool) []string {
		if signer == "" {
			if strings.Contains(name, ":") {
				return []string{`ClusterTrustBundle without signer name must not have ":" in its name`}
			}
			return meta.DNSSubdomain(name, prefix)
		}
		want := strings.ReplaceAll(signer, "/", ":") + ":"
		rest, ok := strings.CutPrefix(name, want)
		if !ok {
			return []string{fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, want)}
		}
		return meta.DNSSubdomain(rest, prefix)
	}
}

// ValidateSignerName judges names of the form example.com/signer, where the part behind the slash may be NAMESPACE.NAME.
func ValidateSignerName(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(path, "/") {
		return field.ErrorList{field.Invalid(at, name,
			"must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	const maxDomain = utilvalidation.DNS1123SubdomainMaxLength
	const maxPath = utilvalidation.DNS1123SubdomainMaxLength + utilvalidation.DNS1123LabelMaxLength + 1
	errs := rule.MaxBytes(at, domain, maxDomain)
	errs = append(errs, firstBadLabel(at, domain, utilvalidation.IsDNS1123Label)...)
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(at, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, firstBadLabel(at, path, utilvalidation.IsDNS1123Subdomain)...)
	return append(errs, rule.MaxBytes(at, name, maxDomain+maxPath+1)...)
}

// firstBadLabel judges the parts between dots and reports the first that is wrong; the others' errors would read the same.
func firstBadLabel(at *field.Path, text string, judge func(string) []string) field.ErrorList {
	for label := range strings.SplitSeq(text, ".") {
		var errs field.ErrorList
		for _, why := range judge(label) {
			errs = append(errs, field.Invalid(at, text, fmt.Sprintf("validating label %q: %s", label, why)))
		}
		if len(errs) > 0 {
			return errs
		}
	}
	return nil
}
