package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// validatePodStatus judges a write to the status of a pod.
func validatePodStatus(p, old *corev1.Pod) field.ErrorList {
	at, s, was := statusAt(), &p.Status, &old.Status
	errs := slices.Concat(
		validateAnnotationChange(metadataAt().Child("annotations"), p, old, changeRules(old)),
		validatePodConditions(at.Child("conditions"), s.Conditions))
	if p.Spec.NodeName != old.Spec.NodeName {
		errs = append(errs, field.Forbidden(at.Child("nodeName"), "may not be changed directly"))
	}
	if now := s.NominatedNodeName; now != "" && now != was.NominatedNodeName {
		nominated := at.Child("nominatedNodeName")
		errs = append(errs, rule.Name(nominated, now, meta.DNSSubdomain)...)
		if old.Spec.NodeName != "" {
			errs = append(errs, field.Forbidden(nominated, "may not be set on pods that are already bound to a node"))
		}
	}
	return slices.Concat(errs,
		validateGeneration(at.Child("observedGeneration"), s.ObservedGeneration),
		validateImmutable(at.Child("qosClass"), s.QOSClass, was.QOSClass),
		validateTransitions(at.Child("containerStatuses"), s.ContainerStatuses, was.ContainerStatuses,
			old.Spec.Containers, &old.Spec),
		validateTransitions(at.Child("initContainerStatuses"), s.InitContainerStatuses, was.InitContainerStatuses,
			old.Spec.InitContainers, &old.Spec),
		validateEnded(at.Child("ephemeralContainerStatuses"), s.EphemeralContainerStatuses, was.EphemeralContainerStatuses,
			func(*corev1.ContainerStatus) bool { return false }),
		validateClaimStatuses(at.Child("resourceClaimStatuses"), s.ResourceClaimStatuses, p.Spec.ResourceClaims),
		validateExtendedClaim(at.Child("extendedResourceClaimStatus"), s.ExtendedResourceClaimStatus, &p.Spec),
		validateNodeClaims(at.Child("nodeAllocatableResourceClaimStatuses"), p),
		validateVolumeHealth(at.Child("volumeHealth"), s.VolumeHealth, &p.Spec),
		validatePodIPs(at.Child("podIPs"), s, was),
		validateHostIPs(at.Child("hostIPs"), s, was),
		validateUsers(at.Child("containerStatuses"), s.ContainerStatuses, p.Spec.OS),
		validateUsers(at.Child("initContainerStatuses"), s.InitContainerStatuses, p.Spec.OS),
		validateUsers(at.Child("ephemeralContainerStatuses"), s.EphemeralContainerStatuses, p.Spec.OS),
		validateResourceHealth(at.Child("containerStatuses"), s.ContainerStatuses, p.Spec.Containers, s),
		validateResourceHealth(at.Child("initContainerStatuses"), s.InitContainerStatuses, p.Spec.InitContainers, s),
		forbidResourceHealth(at.Child("ephemeralContainerStatuses"), s.EphemeralContainerStatuses))
}

func validateGeneration(at *field.Path, n int64) field.ErrorList {
	if n >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, n, "must be a non-negative integer")}
}

func validatePodConditions(at *field.Path, list []corev1.PodCondition) field.ErrorList {
	var errs field.ErrorList
	for i, c := range list {
		errs = append(errs, validateGeneration(at.Index(i).Child("observedGeneration"), c.ObservedGeneration)...)
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
		default:
			errs = append(errs, rule.QualifiedName(at.Index(i).Child("Type"), string(c.Type))...)
		}
	}
	return errs
}

// validateTransitions refuses that a container which has ended for good runs again.
func validateTransitions(
	at *field.Path, now, before []corev1.ContainerStatus, containers []corev1.Container, s *corev1.PodSpec,
) field.ErrorList {
	if restartsAll(s) {
		return nil
	}
	return validateEnded(at, now, before, func(was *corev1.ContainerStatus) bool {
		for i := range containers {
			if containers[i].Name == was.Name {
				return restartsAfter(&containers[i], s, was.State.Terminated.ExitCode)
			}
		}
		return false
	})
}

func validateEnded(
	at *field.Path, now, before []corev1.ContainerStatus, restarts func(*corev1.ContainerStatus) bool,
) field.ErrorList {
	var errs field.ErrorList
	for i := range before {
		was := &before[i]
		if was.State.Terminated == nil {
			continue
		}
		k := slices.IndexFunc(now, func(c corev1.ContainerStatus) bool {
			return c.Name == was.Name && c.State.Terminated == nil
		})
		if k >= 0 && !restarts(was) {
			errs = append(errs, field.Forbidden(at.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
		}
	}
	return errs
}

// restartsAll tells whether the end of some container can restart all of them.
func restartsAll(s *corev1.PodSpec) bool {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			for _, r := range list[i].RestartPolicyRules {
				if r.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
	}
	return false
}

// restartsAfter tells whether a container that ended with the exit code runs again: by its own rules, its own policy, or the
// pod's.
func restartsAfter(c *corev1.Container, s *corev1.PodSpec, code int32) bool {
	policy := string(s.RestartPolicy)
	if c.RestartPolicy != nil {
		for _, r := range c.RestartPolicyRules {
			if r.ExitCodes != nil && slices.Contains(r.ExitCodes.Values, code) ==
				(r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
				return true
			}
		}
		policy = string(*c.RestartPolicy)
	}
	switch corev1.RestartPolicy(policy) {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	default:
		return true
	}
}

func validatePodIPs(at *field.Path, s, was *corev1.PodStatus) field.ErrorList {
	ips := func(list []corev1.PodIP) []string {
		var out []string
		for _, ip := range list {
			out = append(out, ip.IP)
		}
		return out
	}
	errs := validateAddresses(at, ips(s.PodIPs), ips(was.PodIPs), s.PodIPs)
	switch {
	case (s.PodIP != "") != (len(s.PodIPs) > 0):
		errs = append(errs, field.Invalid(at, s.PodIPs, "podIP and podIPs must either both be set or both be unset"))
	case s.PodIP != "" && s.PodIP != s.PodIPs[0].IP:
		errs = append(errs, field.Invalid(at.Index(0).Child("ip"), s.PodIPs[0].IP, "must be equal to `podIP`"))
	}
	return errs
}

func validateHostIPs(at *field.Path, s, was *corev1.PodStatus) field.ErrorList {
	if len(s.HostIPs) == 0 {
		return nil
	}
	ips := func(list []corev1.HostIP) []string {
		var out []string
		for _, ip := range list {
			out = append(out, ip.IP)
		}
		return out
	}
	var errs field.ErrorList
	if s.HostIP != s.HostIPs[0].IP {
		errs = append(errs, field.Invalid(at.Index(0).Child("ip"), s.HostIPs[0].IP, "must be equal to `hostIP`"))
	}
	return append(errs, validateAddresses(at, ips(s.HostIPs), ips(was.HostIPs), s.HostIPs)...)
}

// validateAddresses judges the addresses of a pod or host, at most one of each family. shown is the field's value.
func validateAddresses(at *field.Path, now, before []string, shown any) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range now {
		errs = append(errs, rule.IP(at.Index(i), ip, before)...)
	}
	if len(now) > 2 || !rule.OnePerFamily(now) {
		errs = append(errs, field.Invalid(at, shown, "may specify no more than one IP for each IP family"))
	}
	return errs
}

func validateClaimStatuses(
	at *field.Path, list []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim,
) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, s := range list {
		at := at.Index(i)
		if !slices.ContainsFunc(claims, func(c corev1.PodResourceClaim) bool { return c.Name == s.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), s.Name,
				"must match the name of an entry in `spec.resourceClaims`"))
		}
		if seen.Has(s.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), s.Name))
		}
		seen.Insert(s.Name)
		if n := s.ResourceClaimName; n != nil {
			errs = append(errs, rule.Name(at.Child("resourceClaimName"), *n, meta.DNSSubdomain)...)
		}
	}
	return errs
}

func validateVolumeHealth(at *field.Path, list []corev1.PodVolumeHealth, s *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for i, h := range list {
		at := at.Index(i)
		if h.Name != "" && !slices.ContainsFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == h.Name }) {
			errs = append(errs, field.NotFound(at.Child("name"), h.Name))
		}
		errs = append(errs, validateHealthConditions(at.Child("healthConditions"), h.HealthConditions)...)
	}
	return errs
}
