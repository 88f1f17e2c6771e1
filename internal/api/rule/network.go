package rule

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// IP judges an address in a field that has always taken non-canonical forms. Values of before, those the field had already, pass.
func IP(at *field.Path, value string, before []string) field.ErrorList {
	return utilvalidation.IsValidIPForLegacyField(at, value, true, before)
}

// CIDR judges a range as IP judges an address.
func CIDR(at *field.Path, value string, before []string) field.ErrorList {
	return utilvalidation.IsValidCIDRForLegacyField(at, value, true, before)
}

// EndpointIP refuses addresses that cannot be the other end of a connection from anywhere: unspecified, loopback, link-local.
func EndpointIP(at *field.Path, value string) field.ErrorList {
	ip := netutils.ParseIPSloppy(value)
	if ip == nil {
		return field.ErrorList{field.Invalid(at, value, "must be a valid IP address")}
	}
	var errs field.ErrorList
	refuse := func(is bool, why string) {
		if is {
			errs = append(errs, field.Invalid(at, value, why))
		}
	}
	refuse(ip.IsUnspecified(), fmt.Sprintf("may not be unspecified (%v)", value))
	refuse(ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)")
	refuse(ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
	refuse(ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
	return errs
}

// IsIPv4 and IsIPv6 tell an address's family; text that is no address is of neither.
func IsIPv4(text string) bool { return netutils.IsIPv4String(text) }

// IsIPv6 tells whether the text is an IPv6 address.
func IsIPv6(text string) bool { return netutils.IsIPv6String(text) }

// IsIP tells whether the text is an address in any form that was ever accepted.
func IsIP(text string) bool { return netutils.ParseIPSloppy(text) != nil }

// OnePerFamily tells whether there are no two addresses of one family. Text that is no address is judged elsewhere and passes.
func OnePerFamily(addresses []string) bool {
	var v4, v6 int
	for _, a := range addresses {
		switch {
		case IsIPv4(a):
			v4++
		case IsIPv6(a):
			v6++
		}
	}
	return v4 <= 1 && v6 <= 1
}

// RangesOnePerFamily tells whether there is one CIDR, or one of each family.
func RangesOnePerFamily(ranges []string) bool {
	if len(ranges) < 2 {
		return true
	}
	dual, err := netutils.IsDualStackCIDRStrings(ranges)
	return err == nil && dual && len(ranges) == 2
}

// Hostname judges a DNS name, which must not look like an address.
func Hostname(at *field.Path, value string) field.ErrorList {
	errs := DNSSubdomain(at, value)
	if IsIP(value) {
		errs = append(errs, field.Invalid(at, value, "must be a DNS name, not an IP address"))
	}
	return errs
}

// Port judges a port's number.
func Port(at *field.Path, n int32) field.ErrorList {
	return Messages(at, n, utilvalidation.IsValidPortNum(int(n)))
}

// PortOrName judges a port given by number or by name.
func PortOrName(at *field.Path, p intstr.IntOrString) field.ErrorList {
	switch p.Type {
	case intstr.Int:
		return Messages(at, p.IntValue(), utilvalidation.IsValidPortNum(p.IntValue()))
	case intstr.String:
		return Messages(at, p.StrVal, utilvalidation.IsValidPortName(p.StrVal))
	}
	return field.ErrorList{field.InternalError(at, fmt.Errorf("unknown type: %v", p.Type))}
}
