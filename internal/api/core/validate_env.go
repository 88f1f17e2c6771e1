package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateEnv(at *field.Path, vars []corev1.EnvVar) field.ErrorList {
	var errs field.ErrorList
	for i := range vars {
		v, at := &vars[i], at.Index(i)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, rule.Messages(at.Child("name"), v.Name, utilvalidation.IsRelaxedEnvVarName(v.Name))...)
		}
		errs = append(errs, validateEnvSource(at.Child("valueFrom"), v)...)
	}
	return errs
}

func validateEnvSource(at *field.Path, v *corev1.EnvVar) field.ErrorList {
	from := v.ValueFrom
	if from == nil {
		return nil
	}
	var errs field.ErrorList
	sources := 0
	add := func(bad field.ErrorList) {
		sources++
		errs = append(errs, bad...)
	}
	if f := from.FieldRef; f != nil {
		add(validateFieldRef(at.Child("fieldRef"), f, envFields()))
	}
	if r := from.ResourceFieldRef; r != nil {
		add(validateResourceFieldRef(at.Child("resourceFieldRef"), r, false))
	}
	if k := from.ConfigMapKeyRef; k != nil {
		add(validateKeyRef(at.Child("configMapKeyRef"), k.Name, k.Key))
	}
	if k := from.SecretKeyRef; k != nil {
		add(validateKeyRef(at.Child("secretKeyRef"), k.Name, k.Key))
	}
	if k := from.FileKeyRef; k != nil {
		add(validateFileKeyRef(at.Child("fileKeyRef"), k))
	}
	switch {
	case sources == 0:
		errs = append(errs, field.Invalid(at, "",
			"must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(at, "", "may not be specified when `value` is not empty"))
	case sources > 1:
		errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
	}
	return errs
}

// Fields of a pod that its containers can read as environment variables, and as files.
func envFields() []string {
	return []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
		"status.hostIPs", "status.podIP", "status.podIPs",
	}
}

func fileFields() []string {
	return []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
}

// knownFields are the fields that a reference can name at all, some of them of no use any more.
func knownFields() []string {
	return append(envFields(), "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
		"status.phase")
}

func validateFieldRef(at *field.Path, f *corev1.ObjectFieldSelector, allowed []string) field.ErrorList {
	if f.APIVersion == "" {
		return field.ErrorList{field.Required(at.Child("apiVersion"), "")}
	}
	if f.FieldPath == "" {
		return field.ErrorList{field.Required(at.Child("fieldPath"), "")}
	}
	wrong := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(at.Child("fieldPath"), f.FieldPath, "error converting fieldPath: "+why)}
	}
	if f.APIVersion != "v1" {
		return wrong("unsupported pod version: " + f.APIVersion)
	}
	if name, key, ok := splitSubscript(f.FieldPath); ok {
		switch name {
		case "metadata.annotations":
			return rule.QualifiedName(at, strings.ToLower(key))
		case "metadata.labels":
			return rule.QualifiedName(at, key)
		}
		return wrong("field label does not support subscript: " + f.FieldPath)
	}
	name := f.FieldPath
	if name == "spec.host" { // the field's first name
		name = "spec.nodeName"
	}
	if !slices.Contains(knownFields(), name) {
		return wrong("field label not supported: " + name)
	}
	return rule.OneOf(at.Child("fieldPath"), name, allowed...)
}

// splitSubscript takes metadata.labels['KEY'] apart.
func splitSubscript(path string) (name, key string, ok bool) {
	inner, ok := strings.CutSuffix(path, "']")
	if !ok {
		return path, "", false
	}
	name, key, ok = strings.Cut(inner, "['")
	return name, key, ok && name != ""
}

func validateResourceFieldRef(at *field.Path, r *corev1.ResourceFieldSelector, inVolume bool) field.ErrorList {
	var errs field.ErrorList
	known := []string{
		"limits.cpu", "limits.ephemeral-storage", "limits.memory",
		"requests.cpu", "requests.ephemeral-storage", "requests.memory",
	}
	switch {
	case inVolume && r.ContainerName == "":
		errs = append(errs, field.Required(at.Child("containerName"), ""))
	case r.Resource == "":
		errs = append(errs, field.Required(at.Child("resource"), ""))
	case !refersToHugePages(r.Resource):
		errs = append(errs, rule.OneOf(at.Child("resource"), r.Resource, known...)...)
	}
	return append(errs, validateDivisor(at.Child("divisor"), r)...)
}

func refersToHugePages(resource string) bool {
	return strings.HasPrefix(resource, "requests.hugepages-") || strings.HasPrefix(resource, "limits.hugepages-")
}

func validateDivisor(at *field.Path, r *corev1.ResourceFieldSelector) field.ErrorList {
	if r.Divisor.IsZero() {
		return nil
	}
	bytes := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	what, allowed := "", bytes
	switch r.Resource {
	case "limits.cpu", "requests.cpu":
		if slices.Contains([]string{"1m", "1"}, r.Divisor.String()) {
			return nil
		}
		return field.ErrorList{field.Invalid(at, r.Resource,
			"only divisor's values 1m and 1 are supported with the cpu resource")}
	case "limits.memory", "requests.memory":
		what = "memory"
	case "limits.ephemeral-storage", "requests.ephemeral-storage":
		what = "local ephemeral storage"
	default:
		if !refersToHugePages(r.Resource) {
			return nil
		}
		what = "hugepages"
	}
	if slices.Contains(allowed, r.Divisor.String()) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, r.Resource, fmt.Sprintf(
		"only divisor's values %s are supported with the %s resource", strings.Join(allowed, ", "), what))}
}

func validateKeyRef(at *field.Path, name, key string) field.ErrorList {
	errs := rule.Name(at.Child("name"), name, meta.DNSSubdomain)
	if key == "" {
		return append(errs, field.Required(at.Child("key"), ""))
	}
	return append(errs, rule.Messages(at.Child("key"), key, utilvalidation.IsConfigMapKey(key))...)
}

func validateFileKeyRef(at *field.Path, r *corev1.FileKeySelector) field.ErrorList {
	errs := rule.Given(at.Child("key"), r.Key)
	if r.Key != "" {
		errs = rule.Messages(at.Child("key"), r.Key, utilvalidation.IsRelaxedEnvVarName(r.Key))
	}
	return slices.Concat(errs,
		rule.GivenDNSLabel(at.Child("volumeName"), r.VolumeName),
		rule.Given(at.Child("path"), r.Path),
		rule.NoClimbing(at.Child("path"), r.Path))
}

func validateEnvFrom(at *field.Path, list []corev1.EnvFromSource) field.ErrorList {
	var errs field.ErrorList
	for i, from := range list {
		item := at.Index(i)
		if from.Prefix != "" {
			errs = append(errs, rule.Messages(
				item.Child("prefix"), from.Prefix, utilvalidation.IsRelaxedEnvVarName(from.Prefix))...)
		}
		// References were once judged as name prefixes, which may end in a dash.
		source := func(at *field.Path, name string) {
			if name == "" {
				errs = append(errs, field.Required(at.Child("name"), ""))
				return
			}
			errs = append(errs, rule.Messages(at.Child("name"), name, meta.DNSSubdomain(name, true))...)
		}
		if r := from.ConfigMapRef; r != nil {
			source(item.Child("configMapRef"), r.Name)
		}
		if r := from.SecretRef; r != nil {
			source(item.Child("secretRef"), r.Name)
		}
		switch {
		case from.ConfigMapRef == nil && from.SecretRef == nil:
			errs = append(errs, field.Invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
		case from.ConfigMapRef != nil && from.SecretRef != nil:
			errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
		}
	}
	return errs
}

// validateEnvFiles requires that files with environment variables are in empty directories, where an init container wrote them.
func (j *podJudge) validateEnvFiles(at *field.Path) field.ErrorList {
	sources := map[string]*corev1.VolumeSource{}
	for i := range j.spec.Volumes {
		sources[j.spec.Volumes[i].Name] = &j.spec.Volumes[i].VolumeSource
	}
	var errs field.ErrorList
	for c, at := range containersOf(j.spec, at) {
		for i, v := range c.Env {
			if v.ValueFrom == nil || v.ValueFrom.FileKeyRef == nil {
				continue
			}
			name := v.ValueFrom.FileKeyRef.VolumeName
			at := at.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			if source, ok := sources[name]; !ok {
				errs = append(errs, field.NotFound(at, name))
			} else if source.EmptyDir == nil {
				errs = append(errs, field.Invalid(at, name, "referenced volume must be of type emptyDir"))
			}
		}
	}
	return errs
}
