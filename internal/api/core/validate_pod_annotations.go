package core

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Annotations that once were what fields are now, or that mean something to the server or the controllers.
const (
	appArmorPrefix  = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix
	appArmorDefault = corev1.DeprecatedAppArmorBetaProfileRuntimeDefault
	appArmorLocal   = corev1.DeprecatedAppArmorBetaProfileNamePrefix
	appArmorNone    = corev1.DeprecatedAppArmorBetaProfileNameUnconfined
)

// validatePodAnnotations judges the annotations that are known, on pods and templates.
func validatePodAnnotations(at *field.Path, annotations map[string]string, s *corev1.PodSpec, rules podRules) field.ErrorList {
	if len(annotations) == 0 {
		return nil
	}
	var errs field.ErrorList
	if value, ok := annotations[corev1.MirrorPodAnnotationKey]; ok && s.NodeName == "" {
		errs = append(errs, field.Invalid(at.Key(corev1.MirrorPodAnnotationKey), value,
			"must set spec.nodeName if mirror pod annotation is set"))
	}
	errs = append(errs, validateTolerationsAnnotation(at, annotations, rules)...)
	if cost, ok := deletionCost(annotations); !ok && !rules.laxDeletionCost {
		errs = append(errs, field.Invalid(at.Key(corev1.PodDeletionCost), cost, "must be a 32bit integer"))
	}
	if p, ok := annotations[corev1.SeccompPodAnnotationKey]; ok {
		errs = append(errs, validateSeccompName(at.Child(corev1.SeccompPodAnnotationKey), p)...)
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		if strings.HasPrefix(key, corev1.SeccompContainerAnnotationKeyPrefix) {
			errs = append(errs, validateSeccompName(at.Child(key), value)...)
		}
		if name, ok := strings.CutPrefix(key, appArmorPrefix); ok {
			errs = append(errs, validateAppArmorAnnotation(at.Key(key), name, value, s)...)
		}
	}
	return errs
}

// deletionCost returns the annotation's text and whether it is absent or a number as it is normally written.
func deletionCost(annotations map[string]string) (string, bool) {
	text, ok := annotations[corev1.PodDeletionCost]
	if !ok {
		return "", true
	}
	if n, err := strconv.ParseInt(text, 10, 32); err != nil || strconv.FormatInt(n, 10) != text && !strings.HasPrefix(text, "-") {
		return text, false
	}
	return text, true
}

func validateSeccompName(at *field.Path, name string) field.ErrorList {
	switch name {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return nil
	}
	if path, ok := strings.CutPrefix(name, corev1.SeccompLocalhostProfileNamePrefix); ok {
		return rule.RelativePath(at, path)
	}
	return field.ErrorList{field.Invalid(at, name, "must be a valid seccomp profile")}
}

func validateAppArmorAnnotation(at *field.Path, container, profile string, s *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	found := false
	for c := range containersOf(s, nil) {
		found = found || c.Name == container
	}
	if !found {
		errs = append(errs, field.Invalid(at, container, "container not found"))
	}
	switch profile {
	case "", appArmorDefault, appArmorNone:
		return errs
	}
	if !strings.HasPrefix(profile, appArmorLocal) {
		errs = append(errs, field.Invalid(at, profile, fmt.Sprintf("invalid AppArmor profile name: %q", profile)))
	}
	return errs
}

// validateAnnotationChange keeps annotations that are read only once: when the pod is made.
func validateAnnotationChange(at *field.Path, p, old *corev1.Pod, rules podRules) field.ErrorList {
	var errs field.ErrorList
	refuse := func(key, verb string) {
		switch {
		case strings.HasPrefix(key, appArmorPrefix):
			errs = append(errs, field.Forbidden(at.Key(key), "may not "+verb+" AppArmor annotations"))
		case key == corev1.MirrorPodAnnotationKey:
			errs = append(errs, field.Forbidden(at.Key(key), "may not "+verb+" mirror pod annotation"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old.Annotations)) {
		if now, ok := p.Annotations[key]; !ok || now != old.Annotations[key] {
			refuse(key, "remove or update")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Annotations)) {
		if _, ok := old.Annotations[key]; !ok {
			refuse(key, "add")
		}
	}
	return append(errs, validatePodAnnotations(at, p.Annotations, &p.Spec, rules)...)
}

// validateSeccompAgrees requires that a profile which is given in an annotation and a field is the same.
func validateSeccompAgrees(at *field.Path, m *metav1.ObjectMeta, s *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	check := func(at *field.Path, key string, p *corev1.SeccompProfile) {
		if text, ok := m.Annotations[key]; ok && p != nil {
			errs = append(errs, seccompAgrees(at.Child("securityContext", "seccompProfile"), text, p)...)
		}
	}
	if s.SecurityContext != nil {
		check(at, corev1.SeccompPodAnnotationKey, s.SecurityContext.SeccompProfile)
	}
	for c, at := range containersOf(s, at) {
		if c.SecurityContext != nil {
			check(at, corev1.SeccompContainerAnnotationKeyPrefix+c.Name, c.SecurityContext.SeccompProfile)
		}
	}
	return errs
}

func seccompAgrees(at *field.Path, text string, p *corev1.SeccompProfile) field.ErrorList {
	agrees := true
	switch p.Type {
	case corev1.SeccompProfileTypeUnconfined:
		agrees = text == corev1.SeccompProfileNameUnconfined
	case corev1.SeccompProfileTypeRuntimeDefault:
		agrees = text == corev1.SeccompProfileRuntimeDefault || text == corev1.DeprecatedSeccompProfileDockerDefault
	case corev1.SeccompProfileTypeLocalhost:
		var path string
		path, agrees = strings.CutPrefix(text, corev1.SeccompLocalhostProfileNamePrefix)
		if agrees && (p.LocalhostProfile == nil || path != *p.LocalhostProfile) {
			return field.ErrorList{field.Forbidden(at.Child("localhostProfile"),
				"seccomp profile in annotation and field must match")}
		}
	}
	if agrees {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("type"), "seccomp type in annotation and field must match")}
}

// validateAppArmorAgrees does the same for AppArmor, where a container without a field has the pod's.
func validateAppArmorAgrees(at *field.Path, m *metav1.ObjectMeta, s *corev1.PodSpec) field.ErrorList {
	if s.OS != nil && s.OS.Name == corev1.Windows {
		return nil
	}
	var ofPod *corev1.AppArmorProfile
	if s.SecurityContext != nil {
		ofPod = s.SecurityContext.AppArmorProfile
	}
	var errs field.ErrorList
	for c, at := range containersOf(s, at) {
		p := ofPod
		if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			p = c.SecurityContext.AppArmorProfile
		}
		if text, ok := m.Annotations[appArmorPrefix+c.Name]; ok && p != nil {
			errs = append(errs, appArmorAgrees(at.Child("securityContext", "appArmorProfile"), text, p)...)
		}
	}
	return errs
}

func appArmorAgrees(at *field.Path, text string, p *corev1.AppArmorProfile) field.ErrorList {
	agrees := true
	switch p.Type {
	case corev1.AppArmorProfileTypeUnconfined:
		agrees = text == appArmorNone
	case corev1.AppArmorProfileTypeRuntimeDefault:
		agrees = text == appArmorDefault
	case corev1.AppArmorProfileTypeLocalhost:
		var path string
		path, agrees = strings.CutPrefix(text, appArmorLocal)
		if agrees && (p.LocalhostProfile == nil || path != *p.LocalhostProfile) {
			return field.ErrorList{field.Forbidden(at.Child("localhostProfile"),
				"apparmor profile in annotation and field must match")}
		}
	}
	if agrees {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("type"), "apparmor type in annotation and field must match")}
}
