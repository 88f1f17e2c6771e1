package core

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// validateOS judges what the pod's operating system rules out; at is the path of the spec.
func (j *podJudge) validateOS(at *field.Path) field.ErrorList {
	errs := j.validateHostProcess(at)
	os := j.spec.OS
	if os == nil {
		return errs
	}
	switch os.Name {
	case corev1.Linux:
		return append(errs, j.validateLinux(at)...)
	case corev1.Windows:
		return append(errs, j.validateWindows(at)...)
	case "":
		return append(errs, field.Required(at.Child("os", "name"), ""))
	}
	return append(errs, rule.OneOf(at.Child("os"), os.Name, corev1.Linux, corev1.Windows)...)
}

// refusals collects fields that may not be set.
type refusals struct {
	why  string
	errs field.ErrorList
}

func (r *refusals) unless(absent bool, at *field.Path, name string) {
	if !absent {
		r.errs = append(r.errs, field.Forbidden(at.Child(name), r.why))
	}
}

func (j *podJudge) validateLinux(at *field.Path) field.ErrorList {
	r := &refusals{why: "windows options cannot be set for a linux pod"}
	if sc := j.spec.SecurityContext; sc != nil {
		r.unless(sc.WindowsOptions == nil, at.Child("securityContext"), "windowsOptions")
	}
	for c, at := range containersOf(j.spec, at) {
		if sc := c.SecurityContext; sc != nil {
			r.unless(sc.WindowsOptions == nil, at.Child("securityContext"), "windowsOptions")
		}
	}
	return r.errs
}

func (j *podJudge) validateWindows(at *field.Path) field.ErrorList {
	r := &refusals{why: "cannot be set for a windows pod"}
	s := j.spec
	if sc, at := s.SecurityContext, at.Child("securityContext"); sc != nil {
		r.unless(sc.AppArmorProfile == nil, at, "appArmorProfile")
		r.unless(sc.SELinuxOptions == nil, at, "seLinuxOptions")
		r.unless(sc.SeccompProfile == nil, at, "seccompProfile")
		r.unless(sc.FSGroup == nil, at, "fsGroup")
		r.unless(sc.FSGroupChangePolicy == nil, at, "fsGroupChangePolicy")
		r.unless(len(sc.Sysctls) == 0, at, "sysctls")
		r.unless(sc.RunAsUser == nil, at, "runAsUser")
		r.unless(sc.RunAsGroup == nil, at, "runAsGroup")
		r.unless(sc.SupplementalGroups == nil, at, "supplementalGroups")
		r.unless(sc.SupplementalGroupsPolicy == nil, at, "supplementalGroupsPolicy")
		r.unless(sc.SELinuxChangePolicy == nil, at, "seLinuxChangePolicy")
	}
	r.unless(s.HostUsers == nil, at, "hostUsers")
	r.unless(!s.HostPID, at, "hostPID")
	r.unless(!s.HostIPC, at, "hostIPC")
	r.unless(s.ShareProcessNamespace == nil, at, "shareProcessNamespace")
	for c, at := range containersOf(s, at) {
		sc, at := c.SecurityContext, at.Child("securityContext")
		if sc == nil {
			continue
		}
		r.unless(sc.AppArmorProfile == nil, at, "appArmorProfile")
		r.unless(sc.SELinuxOptions == nil, at, "seLinuxOptions")
		r.unless(sc.SeccompProfile == nil, at, "seccompProfile")
		r.unless(sc.Capabilities == nil, at, "capabilities")
		r.unless(sc.ReadOnlyRootFilesystem == nil, at, "readOnlyRootFilesystem")
		r.unless(sc.Privileged == nil, at, "privileged")
		r.unless(sc.AllowPrivilegeEscalation == nil, at, "allowPrivilegeEscalation")
		r.unless(sc.ProcMount == nil, at, "procMount")
		r.unless(sc.RunAsUser == nil, at, "runAsUser")
		r.unless(sc.RunAsGroup == nil, at, "runAsGroup")
	}
	return r.errs
}

// validateHostProcess judges Windows containers that run as processes of the host: all of a pod's, on the host's network.
func (j *podJudge) validateHostProcess(at *field.Path) field.ErrorList {
	var ofPod *bool
	if sc := j.spec.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		ofPod = sc.WindowsOptions.HostProcess
	}
	var errs field.ErrorList
	all, host := 0, 0
	for c, at := range containersOf(j.spec, at) {
		all++
		own := ofPod
		if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil && sc.WindowsOptions.HostProcess != nil {
			own = sc.WindowsOptions.HostProcess
			if ofPod != nil && *ofPod != *own {
				errs = append(errs, field.Invalid(at.Child("securityContext", "windowsOptions", "hostProcess"), *own,
					fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *ofPod)))
			}
		}
		if meta.Deref(own) {
			host++
		}
	}
	if host == 0 {
		return errs
	}
	if host != all {
		errs = append(errs, field.Invalid(at, "",
			"If pod contains any hostProcess containers then all containers must be HostProcess containers"))
	}
	if !j.spec.HostNetwork {
		errs = append(errs, field.Invalid(at.Child("hostNetwork"), j.spec.HostNetwork,
			"hostNetwork must be true if pod contains any hostProcess containers"))
	}
	return errs
}

// Limits and forms of names of Windows users, DOMAIN\USER; the domain is a NetBIOS or a DNS name.
const (
	maxCredentialSpecKiB = 64
	maxWindowsDomain     = 256
	maxWindowsUser       = 104
)

var (
	controlCharacters = regexp.MustCompile(`[[:cntrl:]]+`)
	netBIOSName       = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	windowsDNSName    = regexp.MustCompile(
		`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	badUserCharacters = regexp.MustCompile(`["/\\:;|=,\+\*\?<>@\[\]]`)
	dotsAndSpaces     = regexp.MustCompile(`^[\. ]+$`)
)

func validateWindowsOptions(at *field.Path, o *corev1.WindowsSecurityContextOptions) field.ErrorList {
	if o == nil {
		return nil
	}
	var errs field.ErrorList
	if n := o.GMSACredentialSpecName; n != nil {
		errs = append(errs, rule.DNSSubdomain(at.Child("gmsaCredentialSpecName"), *n)...)
	}
	if s := o.GMSACredentialSpec; s != nil {
		at := at.Child("gmsaCredentialSpec")
		switch {
		case *s == "":
			errs = append(errs, field.Invalid(at, s, "gmsaCredentialSpec cannot be an empty string"))
		case len(*s) > maxCredentialSpecKiB*1024:
			errs = append(errs, field.Invalid(at, s,
				fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", maxCredentialSpecKiB)))
		}
	}
	if n := o.RunAsUserName; n != nil {
		errs = append(errs, rule.Messages(at.Child("runAsUserName"), *n, windowsUserName(*n))...)
	}
	return errs
}

// windowsUserName says what is wrong with the name of a Windows user.
func windowsUserName(name string) []string {
	domain, user, hasDomain := strings.Cut(name, `\`)
	switch {
	case name == "":
		return []string{"runAsUserName cannot be an empty string"}
	case controlCharacters.MatchString(name):
		return []string{"runAsUserName cannot contain control characters"}
	case strings.Contains(user, `\`):
		return []string{"runAsUserName cannot contain more than one backslash"}
	case !hasDomain:
		domain, user = "", name
	}
	var wrong []string
	if len(domain) >= maxWindowsDomain {
		wrong = append(wrong, fmt.Sprintf("runAsUserName's Domain length must be under %d characters", maxWindowsDomain))
	}
	if hasDomain && !netBIOSName.MatchString(domain) && !windowsDNSName.MatchString(domain) {
		wrong = append(wrong, "runAsUserName's Domain doesn't match the NetBios nor the DNS format")
	}
	switch {
	case user == "":
		wrong = append(wrong, "runAsUserName's User cannot be empty")
	case len(user) > maxWindowsUser:
		wrong = append(wrong, fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", maxWindowsUser))
	}
	if dotsAndSpaces.MatchString(user) {
		wrong = append(wrong, "runAsUserName's User cannot contain only periods or spaces")
	}
	if badUserCharacters.MatchString(user) {
		wrong = append(wrong, `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
	return slices.Clip(wrong)
}
