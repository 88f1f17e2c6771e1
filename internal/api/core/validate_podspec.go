package core

import (
	"fmt"
	"iter"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// podJudge judges one pod spec.
type podJudge struct {
	podRules
	spec *corev1.PodSpec
	// meta is the pod's own metadata, nil for templates: generated claims are named by the pod.
	meta *metav1.ObjectMeta
	// volumes are the sources of the volumes that are right so far, by name.
	volumes map[string]*corev1.VolumeSource
	// claims are the names in spec.resourceClaims.
	claims sets.Set[string]
}

// ValidatePodTemplate judges the pod template of a workload. old is the template's former state, nil on create.
func ValidatePodTemplate(at *field.Path, t, old *corev1.PodTemplateSpec) field.ErrorList {
	return validatePodTemplate(at, t, templateRules(old))
}

// ValidateTemplateMeta judges the labels and annotations of a template alone.
func ValidateTemplateMeta(at *field.Path, t, old *corev1.PodTemplateSpec) field.ErrorList {
	return validateLabelled(at, t, templateRules(old))
}

func validateLabelled(at *field.Path, t *corev1.PodTemplateSpec, rules podRules) field.ErrorList {
	return slices.Concat(
		rule.Labels(at.Child("labels"), t.Labels),
		validation.ValidateAnnotations(t.Annotations, at.Child("annotations")),
		validatePodAnnotations(at.Child("annotations"), t.Annotations, &t.Spec, rules))
}

func validatePodTemplate(at *field.Path, t *corev1.PodTemplateSpec, rules podRules) field.ErrorList {
	spec := at.Child("spec")
	errs := slices.Concat(
		validateLabelled(at, t, rules),
		validatePodSpec(spec, &t.Spec, nil, rules),
		validateSeccompAgrees(spec, &t.ObjectMeta, &t.Spec),
		validateAppArmorAgrees(spec, &t.ObjectMeta, &t.Spec),
	)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs,
			field.Forbidden(spec.Child("ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

func validatePodSpec(at *field.Path, s *corev1.PodSpec, m *metav1.ObjectMeta, rules podRules) field.ErrorList {
	j := &podJudge{podRules: rules, spec: s, meta: m, claims: sets.New[string]()}
	for _, c := range s.ResourceClaims {
		if c.Name != "" {
			j.claims.Insert(c.Name)
		}
	}
	var errs field.ErrorList
	if s.TerminationGracePeriodSeconds == nil {
		errs = append(errs, field.Required(at.Child("terminationGracePeriodSeconds"), ""))
	}
	return slices.Concat(errs,
		j.validateVolumes(at.Child("volumes")), // first: containers are judged by the volumes they mount
		j.validateResourceClaims(at.Child("resourceClaims")),
		j.validateContainers(at.Child("containers")),
		j.validateInitContainers(at.Child("initContainers")),
		j.validateEphemeralContainers(at.Child("ephemeralContainers")),
		j.validatePodResources(at.Child("resources")),
		j.validateHostNetwork(at.Child("containers")),
		rule.GivenOneOf(at.Child("restartPolicy"), s.RestartPolicy,
			corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever),
		rule.Labels(at.Child("nodeSelector"), s.NodeSelector),
		j.validatePodSecurity(at),
		j.validateSharing(at),
		validateAffinity(at.Child("affinity"), s.Affinity, rules),
		validateDNS(at, s),
		j.validateNaming(at),
		validateReadinessGates(at.Child("readinessGates"), s.ReadinessGates),
		validateSchedulingGates(at.Child("schedulingGates"), s.SchedulingGates),
		validateSpread(at.Child("topologySpreadConstraints"), s.TopologySpreadConstraints, rules),
		j.validateReferences(at),
		validateDeadline(at.Child("activeDeadlineSeconds"), s.ActiveDeadlineSeconds),
		validateTolerations(at.Child("tolerations"), s.Tolerations, rules.numericTolerations),
		j.validatePriority(at),
		validateRequirements(at.Child("overhead"), &corev1.ResourceRequirements{Limits: s.Overhead}, containerResource,
			nil, rules),
		j.validateOS(at),
		j.validateSchedulingGroup(at),
		j.validateEnvFiles(at),
	)
}

// containersOf yields the spec's containers of all three sorts with their paths.
func containersOf(s *corev1.PodSpec, at *field.Path) iter.Seq2[*corev1.Container, *field.Path] {
	return func(yield func(*corev1.Container, *field.Path) bool) {
		for i := range s.InitContainers {
			if !yield(&s.InitContainers[i], at.Child("initContainers").Index(i)) {
				return
			}
		}
		for i := range s.Containers {
			if !yield(&s.Containers[i], at.Child("containers").Index(i)) {
				return
			}
		}
		for i := range s.EphemeralContainers {
			c := (*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(c, at.Child("ephemeralContainers").Index(i)) {
				return
			}
		}
	}
}

// validateHostNetwork ties host ports to container ports on the host's network. In templates a host port may still be missing.
func (j *podJudge) validateHostNetwork(at *field.Path) field.ErrorList {
	if !j.spec.HostNetwork {
		return nil
	}
	var errs field.ErrorList
	for i := range j.spec.Containers {
		for k, p := range j.spec.Containers[i].Ports {
			if (j.pod || p.HostPort != 0) && p.HostPort != p.ContainerPort {
				errs = append(errs, field.Invalid(at.Index(i).Child("ports").Index(k).Child("hostPort"), p.HostPort,
					"must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

// validateSharing judges which of the host's or each other's namespaces the containers share.
func (j *podJudge) validateSharing(at *field.Path) field.ErrorList {
	s := j.spec
	var errs field.ErrorList
	if share := s.ShareProcessNamespace; share != nil && *share && s.HostPID {
		errs = append(errs, field.Invalid(at.Child("shareProcessNamespace"), *share,
			"ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	if hostUsers(s) {
		return errs
	}
	const why = "when `hostUsers` is false"
	if s.HostNetwork && !j.laxHostNetworkUsers {
		errs = append(errs, field.Forbidden(at.Child("hostNetwork"), why))
	}
	if s.HostPID {
		errs = append(errs, field.Forbidden(at.Child("HostPID"), why))
	}
	if s.HostIPC {
		errs = append(errs, field.Forbidden(at.Child("HostIPC"), why))
	}
	for c, at := range containersOf(s, at) {
		if len(c.VolumeDevices) > 0 && !j.laxDevices {
			errs = append(errs, field.Forbidden(at.Child("volumeDevices"), why))
		}
	}
	return errs
}

// validateNaming judges the pod's names in the network.
func (j *podJudge) validateNaming(at *field.Path) field.ErrorList {
	s := j.spec
	var errs field.ErrorList
	if s.Hostname != "" {
		errs = append(errs, rule.DNSLabel(at.Child("hostname"), s.Hostname)...)
	}
	if s.Subdomain != "" {
		errs = append(errs, rule.DNSLabel(at.Child("subdomain"), s.Subdomain)...)
	}
	if s.HostnameOverride == nil {
		return errs
	}
	override := at.Child("hostnameOverride")
	if meta.Deref(s.SetHostnameAsFQDN) {
		errs = append(errs, field.Forbidden(override, "may not be specified when setHostnameAsFQDN is true"))
	}
	if s.HostNetwork {
		errs = append(errs, field.Forbidden(override, "may not be specified when hostNetwork is true"))
	}
	return slices.Concat(errs,
		rule.MaxBytes(override, *s.HostnameOverride, 64),
		rule.DNSSubdomain(override, *s.HostnameOverride))
}

// validateReferences judges the names of other objects.
func (j *podJudge) validateReferences(at *field.Path) field.ErrorList {
	s := j.spec
	var errs field.ErrorList
	if s.ServiceAccountName != "" {
		errs = append(errs, rule.Name(at.Child("serviceAccountName"), s.ServiceAccountName, meta.DNSSubdomain)...)
	}
	if s.DeprecatedServiceAccount != s.ServiceAccountName {
		errs = append(errs, field.Invalid(at.Child("deprecatedServiceAccount"), s.DeprecatedServiceAccount,
			fmt.Sprintf("must be the same as serviceAccountName: %q", s.ServiceAccountName)))
	}
	if s.NodeName != "" {
		errs = append(errs, rule.Name(at.Child("nodeName"), s.NodeName, meta.DNSSubdomain)...)
	}
	if s.RuntimeClassName != nil {
		errs = append(errs, rule.Name(at.Child("runtimeClassName"), *s.RuntimeClassName, meta.DNSSubdomain)...)
	}
	return errs
}

func (j *podJudge) validatePriority(at *field.Path) field.ErrorList {
	s := j.spec
	var errs field.ErrorList
	if s.PriorityClassName != "" {
		errs = append(errs, rule.Name(at.Child("priorityClassName"), s.PriorityClassName, meta.DNSSubdomain)...)
	}
	return append(errs, ValidatePreemptionPolicy(at.Child("preemptionPolicy"), s.PreemptionPolicy)...)
}

// ValidatePreemptionPolicy judges the policy of a pod or priority class; nil is right.
func ValidatePreemptionPolicy(at *field.Path, p *corev1.PreemptionPolicy) field.ErrorList {
	if p == nil {
		return nil
	}
	return rule.GivenOneOf(at, *p, corev1.PreemptLowerPriority, corev1.PreemptNever)
}

func validateDeadline(at *field.Path, seconds *int64) field.ErrorList {
	if seconds == nil || *seconds >= 1 && *seconds <= math.MaxInt32 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, *seconds, utilvalidation.InclusiveRangeError(1, math.MaxInt32))}
}

func validateReadinessGates(at *field.Path, gates []corev1.PodReadinessGate) field.ErrorList {
	var errs field.ErrorList
	for i, g := range gates {
		errs = append(errs, rule.QualifiedName(at.Index(i).Child("conditionType"), string(g.ConditionType))...)
	}
	return errs
}

func validateSchedulingGates(at *field.Path, gates []corev1.PodSchedulingGate) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, g := range gates {
		errs = append(errs, rule.QualifiedName(at.Index(i), g.Name)...)
		if seen.Has(g.Name) {
			errs = append(errs, field.Duplicate(at.Index(i), g.Name))
		}
		seen.Insert(g.Name)
	}
	return errs
}

func (j *podJudge) validateSchedulingGroup(at *field.Path) field.ErrorList {
	g := j.spec.SchedulingGroup
	if g == nil {
		return nil
	}
	at = at.Child("schedulingGroup")
	var errs field.ErrorList
	if g.PodGroupName == nil {
		errs = append(errs, field.Invalid(at.Child("podGroupName"), g.PodGroupName, "must specify one of: `podGroupName`"))
	} else {
		errs = append(errs, rule.Name(at.Child("podGroupName"), *g.PodGroupName, meta.DNSSubdomain)...)
	}
	if len(j.spec.EvictionResponders) > 0 {
		errs = append(errs, field.Forbidden(at, "may not be set when evictionResponders is set"))
	}
	return errs
}

func (j *podJudge) validateResourceClaims(at *field.Path) field.ErrorList {
	if len(j.spec.ResourceClaims) > 0 && isMirror(j.meta) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support resource claims")}
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, c := range j.spec.ResourceClaims {
		at := at.Index(i)
		switch {
		case c.Name == "" || !seen.Has(c.Name):
			errs = append(errs, rule.GivenDNSLabel(at.Child("name"), c.Name)...)
		default:
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		seen.Insert(c.Name)
		if c.ResourceClaimName != nil && c.ResourceClaimTemplateName != nil {
			errs = append(errs, field.Invalid(at, c,
				"at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		}
		if c.ResourceClaimName == nil && c.ResourceClaimTemplateName == nil {
			errs = append(errs, field.Invalid(at, c, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		if n := c.ResourceClaimName; n != nil {
			errs = append(errs, rule.Name(at.Child("resourceClaimName"), *n, meta.DNSSubdomain)...)
		}
		if n := c.ResourceClaimTemplateName; n != nil {
			errs = append(errs, rule.Name(at.Child("resourceClaimTemplateName"), *n, meta.DNSSubdomain)...)
		}
	}
	return errs
}

// isMirror tells whether the pod only shows a static pod of a node.
func isMirror(m *metav1.ObjectMeta) bool {
	if m == nil {
		return false
	}
	_, ok := m.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}
