package core

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/node/util/sysctl"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// validatePodSecurity judges what holds for all containers; at is the path of the spec.
func (j *podJudge) validatePodSecurity(at *field.Path) field.ErrorList {
	sc := j.spec.SecurityContext
	if sc == nil {
		return nil
	}
	at = at.Child("securityContext")
	errs := slices.Concat(
		rule.GroupID(at.Child("fsGroup"), sc.FSGroup),
		rule.UserID(at.Child("runAsUser"), sc.RunAsUser),
		rule.GroupID(at.Child("runAsGroup"), sc.RunAsGroup))
	for i, id := range sc.SupplementalGroups {
		errs = append(errs, rule.GroupID(at.Child("supplementalGroups").Index(i), &id)...)
	}
	return slices.Concat(errs,
		j.validateSysctls(at.Child("sysctls"), sc.Sysctls),
		rule.MaybeOneOf(at.Child("fsGroupChangePolicy"), sc.FSGroupChangePolicy,
			corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch),
		validateSeccomp(at.Child("seccompProfile"), sc.SeccompProfile),
		validateWindowsOptions(at.Child("windowsOptions"), sc.WindowsOptions),
		validateAppArmor(at.Child("appArmorProfile"), sc.AppArmorProfile),
		rule.MaybeOneOf(at.Child("supplementalGroupsPolicy"), sc.SupplementalGroupsPolicy,
			corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict),
		rule.MaybeOneOf(at.Child("seLinuxChangePolicy"), sc.SELinuxChangePolicy,
			corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive))
}

// sysctlName allows segments divided by dots or slashes.
var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

const maxSysctlName = 253

func (j *podJudge) validateSysctls(at *field.Path, list []corev1.Sysctl) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, s := range list {
		at := at.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > maxSysctlName || !sysctlName.MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name,
				fmt.Sprintf("must have at most %d characters and match regex %s", maxSysctlName, sysctlName)))
		case seen.Has(s.Name):
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		if bad := hostSysctl(at, s.Name, j.spec); bad != nil && !j.laxSysctls {
			errs = append(errs, bad)
		}
		seen.Insert(s.Name)
	}
	return errs
}

// hostSysctl refuses sysctls of a kernel namespace that the pod shares with the host, nil for all others.
func hostSysctl(at *field.Path, name string, s *corev1.PodSpec) *field.Error {
	ns, _, _ := sysctl.GetNamespace(name)
	switch {
	case s.HostNetwork && ns == sysctl.NetNamespace:
		return field.Invalid(at, name, "may not be specified when 'hostNetwork' is true")
	case s.HostIPC && ns == sysctl.IPCNamespace:
		return field.Invalid(at, name, "may not be specified when 'hostIPC' is true")
	}
	return nil
}

func (j *podJudge) validateContainerSecurity(at *field.Path, sc *corev1.SecurityContext) field.ErrorList {
	if sc == nil {
		return nil
	}
	errs := slices.Concat(
		rule.UserID(at.Child("runAsUser"), sc.RunAsUser),
		rule.GroupID(at.Child("runAsGroup"), sc.RunAsGroup),
		rule.MaybeOneOf(at.Child("procMount"), sc.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount))
	if hostUsers(j.spec) && sc.ProcMount != nil && *sc.ProcMount == corev1.UnmaskedProcMount {
		errs = append(errs, field.Invalid(at.Child("procMount"), sc.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
	}
	errs = append(errs, validateSeccomp(at.Child("seccompProfile"), sc.SeccompProfile)...)
	if escalate := sc.AllowPrivilegeEscalation; escalate != nil && !*escalate {
		if meta.Deref(sc.Privileged) {
			errs = append(errs, field.Invalid(at, sc,
				"cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if !j.laxSysAdmin && addsSysAdmin(sc) {
			errs = append(errs, field.Invalid(at, sc,
				"cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
		}
	}
	return slices.Concat(errs,
		validateWindowsOptions(at.Child("windowsOptions"), sc.WindowsOptions),
		validateAppArmor(at.Child("appArmorProfile"), sc.AppArmorProfile))
}

func validateSeccomp(at *field.Path, p *corev1.SeccompProfile) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := rule.OneOf(at.Child("type"), p.Type,
		corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	if p.Type == "" {
		errs = field.ErrorList{field.Required(at.Child("type"), "type is required when seccompProfile is set")}
	}
	local := at.Child("localhostProfile")
	switch {
	case p.Type != corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(local, p, "can only be set when seccomp type is Localhost"))
	case p.Type == corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile == nil:
		errs = append(errs, field.Required(local, "must be set when seccomp type is Localhost"))
	case p.Type == corev1.SeccompProfileTypeLocalhost:
		errs = append(errs, rule.RelativePath(local, *p.LocalhostProfile)...)
	}
	return errs
}

// maxAppArmorProfile is the longest path that Linux takes.
const maxAppArmorProfile = 4095

func validateAppArmor(at *field.Path, p *corev1.AppArmorProfile) field.ErrorList {
	if p == nil {
		return nil
	}
	local := at.Child("localhostProfile")
	switch p.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		if p.LocalhostProfile == nil || *p.LocalhostProfile == "" {
			return field.ErrorList{field.Required(local, "must be set when AppArmor type is Localhost")}
		}
		var errs field.ErrorList
		if *p.LocalhostProfile != strings.TrimSpace(*p.LocalhostProfile) {
			errs = append(errs, field.Invalid(local, *p.LocalhostProfile, "must not be padded with whitespace"))
		}
		return append(errs, rule.MaxBytes(local, *p.LocalhostProfile, maxAppArmorProfile)...)
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if p.LocalhostProfile != nil {
			return field.ErrorList{field.Invalid(local, p.LocalhostProfile, "can only be set when AppArmor type is Localhost")}
		}
		return nil
	case "":
		return field.ErrorList{field.Required(at.Child("type"), "type is required when appArmorProfile is set")}
	}
	return rule.OneOf(at.Child("type"), p.Type, corev1.AppArmorProfileTypeLocalhost,
		corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
}
