package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Limits of libc's resolver.
const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

// validateDNS judges how the pod resolves names; at is the path of the spec.
func validateDNS(at *field.Path, s *corev1.PodSpec) field.ErrorList {
	return slices.Concat(
		rule.GivenOneOf(at.Child("dnsPolicy"), s.DNSPolicy,
			corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone),
		validateDNSConfig(at.Child("dnsConfig"), s),
		validateHostAliases(at.Child("hostAliases"), s.HostAliases))
}

func validateDNSConfig(at *field.Path, s *corev1.PodSpec) field.ErrorList {
	c := s.DNSConfig
	if s.DNSPolicy == corev1.DNSNone {
		if c == nil {
			return field.ErrorList{field.Required(at,
				fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))}
		}
		if len(c.Nameservers) == 0 {
			return field.ErrorList{field.Required(at.Child("nameservers"),
				fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))}
		}
	}
	if c == nil {
		return nil
	}
	var errs field.ErrorList
	servers, searches := at.Child("nameservers"), at.Child("searches")
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(servers, c.Nameservers,
			fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, ns := range c.Nameservers {
		errs = append(errs, rule.IP(servers.Index(i), ns, nil)...)
	}
	if len(c.Searches) > maxSearches {
		errs = append(errs, field.Invalid(searches, c.Searches,
			fmt.Sprintf("must not have more than %v search paths", maxSearches)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchChars {
		errs = append(errs, field.Invalid(searches, c.Searches,
			fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchChars)))
	}
	for i, domain := range c.Searches {
		if domain == "." {
			continue
		}
		domain = strings.TrimSuffix(domain, ".")
		errs = append(errs, rule.Messages(searches.Index(i), domain, utilvalidation.IsDNS1123SubdomainWithUnderscore(domain))...)
	}
	for i, o := range c.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(at.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

func validateHostAliases(at *field.Path, list []corev1.HostAlias) field.ErrorList {
	var errs field.ErrorList
	for i, a := range list {
		errs = append(errs, rule.IP(at.Index(i).Child("ip"), a.IP, nil)...)
		for k, name := range a.Hostnames {
			errs = append(errs, rule.DNSSubdomain(at.Index(i).Child("hostnames").Index(k), name)...)
		}
	}
	return errs
}
