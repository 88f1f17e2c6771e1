package core

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// validateContainer judges what holds for containers of every sort.
func (j *podJudge) validateContainer(at *field.Path, c *corev1.Container) field.ErrorList {
	return slices.Concat(
		rule.GivenDNSLabel(at.Child("name"), c.Name),
		rule.Given(at.Child("image"), c.Image),
		rule.GivenOneOf(at.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
			corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError),
		validateContainerPorts(at.Child("ports"), c.Ports),
		validateEnv(at.Child("env"), c.Env),
		validateEnvFrom(at.Child("envFrom"), c.EnvFrom),
		j.validateMounts(at.Child("volumeMounts"), c),
		j.validateDevices(at.Child("volumeDevices"), c),
		validatePullPolicy(at.Child("imagePullPolicy"), c.ImagePullPolicy),
		validateRequirements(at.Child("resources"), &c.Resources, containerResource, j.claims, j.podRules),
		j.validateResizePolicy(at.Child("resizePolicy"), c.ResizePolicy),
		j.validateContainerSecurity(at.Child("securityContext"), c.SecurityContext),
	)
}

// validateContainers judges the ordinary containers. A name that an init or ephemeral container has too is reported there.
func (j *podJudge) validateContainers(at *field.Path) field.ErrorList {
	list := j.spec.Containers
	if len(list) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range list {
		c, at := &list[i], at.Index(i)
		errs = append(errs, j.validateContainer(at, c)...)
		if names.Has(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names.Insert(c.Name)
		errs = slices.Concat(errs, j.validateProbes(at, c), validateRestartRules(at, c))
	}
	return append(errs, validateHostPorts(at, list)...)
}

// validateInitContainers judges init containers. Those that restart always, sidecars, are nearly ordinary ones.
func (j *podJudge) validateInitContainers(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := containerNames(j.spec.Containers)
	for i := range j.spec.InitContainers {
		c, at, list := &j.spec.InitContainers[i], at.Index(i), at
		errs = append(errs, j.validateContainer(at, c)...)
		errs = append(errs, validateRestartRules(at, c)...)
		if names.Has(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		} else if c.Name != "" {
			names.Insert(c.Name)
		}
		// Plain init containers run one after the other, so each is judged alone.
		errs = append(errs, validateHostPorts(list, j.spec.InitContainers[i:i+1])...)
		if isSidecar(c) {
			errs = append(errs, j.validateProbes(at, c)...)
			continue
		}
		errs = append(errs, forbidProbes(at, c)...)
		for k, p := range c.ResizePolicy {
			if p.RestartPolicy == corev1.RestartContainer && !j.laxInitRestarts {
				errs = append(errs, field.Invalid(at.Child("resizePolicy").Index(k).Child("restartPolicy"), p.RestartPolicy,
					"must not be set to 'RestartContainer' for non-sidecar initContainers"))
			}
		}
	}
	return errs
}

// forbidProbes refuses what only containers that keep running can have.
func forbidProbes(at *field.Path, c *corev1.Container) field.ErrorList {
	var errs field.ErrorList
	refuse := func(name string, set bool) {
		if set {
			errs = append(errs, field.Forbidden(at.Child(name),
				"may not be set for init containers without restartPolicy=Always"))
		}
	}
	refuse("lifecycle", c.Lifecycle != nil)
	refuse("livenessProbe", c.LivenessProbe != nil)
	refuse("readinessProbe", c.ReadinessProbe != nil)
	refuse("startupProbe", c.StartupProbe != nil)
	return errs
}

// validateEphemeralContainers judges containers that were added for debugging: they may not take part in the pod's service.
func (j *podJudge) validateEphemeralContainers(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	others := containerNames(j.spec.Containers).Union(containerNames(j.spec.InitContainers))
	names := others.Clone()
	for i := range j.spec.EphemeralContainers {
		e, at := &j.spec.EphemeralContainers[i], at.Index(i)
		c := (*corev1.Container)(&e.EphemeralContainerCommon)
		errs = append(errs, j.validateContainer(at, c)...)
		errs = append(errs, validateImageSpaces(at, c)...)
		if names.Has(e.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), e.Name))
		}
		names.Insert(e.Name)
		if e.TargetContainerName != "" && !others.Has(e.TargetContainerName) {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), e.TargetContainerName))
		}
		errs = append(errs, onlyFields(at, e.EphemeralContainerCommon, ephemeralFields(), notEphemeral)...)
		for k, m := range e.VolumeMounts {
			at := at.Child("volumeMounts").Index(k)
			if m.SubPath != "" {
				errs = append(errs, field.Forbidden(at.Child("subPath"), notEphemeral))
			}
			if m.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(at.Child("subPathExpr"), notEphemeral))
			}
		}
	}
	return errs
}

const notEphemeral = "cannot be set for an Ephemeral Container"

// ephemeralFields are the Go names of the fields that ephemeral containers may have. New fields of containers are not among them
// until someone has thought about it.
func ephemeralFields() []string {
	return []string{
		"Name", "Image", "Command", "Args", "WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices",
		"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin", "StdinOnce", "TTY",
	}
}

// onlyFields refuses every non-zero field of a struct but the allowed ones.
func onlyFields(at *field.Path, value any, allowed []string, why string) field.ErrorList {
	var errs field.ErrorList
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Field(i).IsZero() && !slices.Contains(allowed, name) {
			errs = append(errs, field.Forbidden(at.Child(strings.ToLower(name[:1])+name[1:]), why))
		}
	}
	return errs
}

func containerNames(list []corev1.Container) sets.Set[string] {
	names := sets.New[string]()
	for i := range list {
		names.Insert(list[i].Name)
	}
	return names
}

func validateContainerPorts(at *field.Path, ports []corev1.ContainerPort) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, p := range ports {
		at := at.Index(i)
		if p.Name != "" {
			bad := rule.Messages(at.Child("name"), p.Name, utilvalidation.IsValidPortName(p.Name))
			if len(bad) == 0 && names.Has(p.Name) {
				bad = field.ErrorList{field.Duplicate(at.Child("name"), p.Name)}
			}
			errs = append(errs, bad...)
			names.Insert(p.Name)
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, rule.Port(at.Child("containerPort"), p.ContainerPort)...)
		}
		if p.HostPort != 0 {
			errs = append(errs, rule.Port(at.Child("hostPort"), p.HostPort)...)
		}
		errs = append(errs, validateProtocol(at.Child("protocol"), p.Protocol)...)
	}
	return errs
}

func validateProtocol(at *field.Path, p corev1.Protocol) field.ErrorList {
	return rule.GivenOneOf(at, p, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

// validateHostPorts refuses host ports that two of the containers want on the same address.
func validateHostPorts(at *field.Path, list []corev1.Container) field.ErrorList {
	var errs field.ErrorList
	taken := sets.New[string]()
	for i := range list {
		for k, p := range list[i].Ports {
			if p.HostPort == 0 {
				continue
			}
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if taken.Has(key) {
				errs = append(errs, field.Duplicate(at.Index(i).Child("ports").Index(k).Child("hostPort"), key))
			}
			taken.Insert(key)
		}
	}
	return errs
}

func validatePullPolicy(at *field.Path, p corev1.PullPolicy) field.ErrorList {
	return rule.GivenOneOf(at, p, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

// validateImageSpaces holds for pods only: templates have always been let in with such images.
func validateImageSpaces(at *field.Path, c *corev1.Container) field.ErrorList {
	if c.Image == strings.TrimSpace(c.Image) {
		return nil
	}
	return field.ErrorList{field.Invalid(at.Child("image"), c.Image, "must not have leading or trailing whitespace")}
}
