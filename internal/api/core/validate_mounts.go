package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// validateMounts judges where a container sees volumes as folders.
func (j *podJudge) validateMounts(at *field.Path, c *corev1.Container) field.ErrorList {
	var errs field.ErrorList
	paths := sets.New[string]()
	// Of a volume that is a device twice only the last place counts.
	devices := map[string]string{}
	for _, d := range c.VolumeDevices {
		devices[d.Name] = d.DevicePath
	}
	for i := range c.VolumeMounts {
		m, item := &c.VolumeMounts[i], at.Index(i)
		name, path := item.Child("name"), item.Child("mountPath")
		source, known := j.volumes[m.Name]
		errs = append(errs, rule.Given(name, m.Name)...)
		if !known {
			errs = append(errs, field.NotFound(name, m.Name))
		}
		errs = append(errs, rule.Given(path, m.MountPath)...)
		if paths.Has(m.MountPath) {
			errs = append(errs, field.Invalid(path, m.MountPath, "must be unique"))
		}
		paths.Insert(m.MountPath)
		if _, ok := devices[m.Name]; ok {
			errs = append(errs, field.Invalid(name, m.Name, "must not already exist in volumeDevices"))
		}
		if slices.Contains(slices.Collect(maps.Values(devices)), m.MountPath) {
			errs = append(errs, field.Invalid(path, m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		if m.SubPathExpr != "" && m.SubPath != "" {
			errs = append(errs, field.Invalid(item.Child("subPathExpr"), m.SubPathExpr,
				"subPathExpr and subPath are mutually exclusive"))
		}
		// The paths below lack the mount's index, as upstream's do.
		errs = slices.Concat(errs,
			rule.RelativePath(at.Child("subPath"), m.SubPath),
			rule.RelativePath(at.Child("subPathExpr"), m.SubPathExpr),
			validatePropagation(at.Child("mountPropagation"), m.MountPropagation, c),
			validateRecursiveReadOnly(at.Child("recursiveReadOnly"), m),
			validateMountOptions(item.Child("bindMountOptions"), m.BindMountOptions, source))
	}
	return errs
}

func validatePropagation(at *field.Path, mode *corev1.MountPropagationMode, c *corev1.Container) field.ErrorList {
	errs := rule.MaybeOneOf(at, mode,
		corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	privileged := c.SecurityContext != nil && meta.Deref(c.SecurityContext.Privileged)
	if mode != nil && *mode == corev1.MountPropagationBidirectional && !privileged {
		errs = append(errs, field.Forbidden(at, "Bidirectional mount propagation is available only to privileged containers"))
	}
	return errs
}

func validateRecursiveReadOnly(at *field.Path, m *corev1.VolumeMount) field.ErrorList {
	errs := rule.MaybeOneOf(at, m.RecursiveReadOnly,
		corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled || len(errs) > 0 {
		return errs
	}
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(at, "may only be specified when readOnly is true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		errs = append(errs, field.Forbidden(at, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}

func validateMountOptions(at *field.Path, options []string, source *corev1.VolumeSource) field.ErrorList {
	var errs field.ErrorList
	for i, o := range options {
		errs = append(errs, rule.OneOf(at.Index(i), corev1.BindMountOption(o),
			corev1.BindMountOptionNoDev, corev1.BindMountOptionNoExec, corev1.BindMountOptionNoSUID)...)
	}
	errs = append(errs, rule.NoDuplicates(at, options)...)
	if len(options) > 0 && source != nil && source.Image != nil {
		errs = append(errs, field.Invalid(at, options, "bindMountOptions may not be used with image volumes"))
	}
	return errs
}

// validateDevices judges where a container sees volumes as block devices.
func (j *podJudge) validateDevices(at *field.Path, c *corev1.Container) field.ErrorList {
	var errs field.ErrorList
	paths, names := sets.New[string](), sets.New[string]()
	// Of a volume that is mounted twice only the last place counts.
	mounted := map[string]string{}
	for _, m := range c.VolumeMounts {
		mounted[m.Name] = m.MountPath
	}
	for i, d := range c.VolumeDevices {
		name, path := at.Index(i).Child("name"), at.Index(i).Child("devicePath")
		errs = append(errs, rule.Given(name, d.Name)...)
		if d.Name != "" && names.Has(d.Name) {
			errs = append(errs, field.Invalid(name, d.Name, "must be unique"))
		}
		names.Insert(d.Name)
		if source, ok := j.volumes[d.Name]; !ok {
			errs = append(errs, field.NotFound(name, d.Name))
		} else if source.PersistentVolumeClaim == nil && source.Ephemeral == nil {
			errs = append(errs, field.Invalid(name, d.Name,
				"can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		errs = append(errs, rule.Given(path, d.DevicePath)...)
		if paths.Has(d.DevicePath) {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must be unique"))
		}
		if len(rule.NoClimbing(path, d.DevicePath)) > 0 {
			errs = append(errs, field.Invalid(path, d.DevicePath, "can not contain backsteps ('..')"))
		} else {
			paths.Insert(d.DevicePath)
		}
		if _, ok := mounted[d.Name]; ok {
			errs = append(errs, field.Invalid(name, d.Name, "must not already exist in volumeMounts"))
		}
		if slices.Contains(slices.Collect(maps.Values(mounted)), d.DevicePath) {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
	}
	return errs
}
