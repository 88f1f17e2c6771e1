package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Texts about volumes of pods and persistent volumes.
const (
	tooManyVolumeKinds = "may not specify more than 1 volume type"
	noVolumeKind       = "must specify a volume type"
)

// validateVolumes judges the volumes and remembers the right ones for the containers that mount them.
func (j *podJudge) validateVolumes(at *field.Path) field.ErrorList {
	j.volumes = make(map[string]*corev1.VolumeSource, len(j.spec.Volumes))
	generated := j.generatedClaims()
	var errs field.ErrorList
	for i := range j.spec.Volumes {
		v, at := &j.spec.Volumes[i], at.Index(i)
		bad := append(j.validateVolumeSource(at, v), rule.GivenDNSLabel(at.Child("name"), v.Name)...)
		if _, taken := j.volumes[v.Name]; taken {
			bad = append(bad, field.Duplicate(at.Child("name"), v.Name))
		}
		if len(bad) == 0 {
			j.volumes[v.Name] = &v.VolumeSource
		}
		errs = append(errs, bad...)
		if c := v.PersistentVolumeClaim; c != nil && generated.Has(c.ClaimName) {
			errs = append(errs, field.Invalid(at.Child("persistentVolumeClaim", "claimName"), c.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return errs
}

// generatedClaims are the names of the claims that will be made for this pod. They are only known when the pod's name is.
func (j *podJudge) generatedClaims() sets.Set[string] {
	names := sets.New[string]()
	if j.meta == nil || j.meta.Name == "" {
		return names
	}
	for i := range j.spec.Volumes {
		if v := &j.spec.Volumes[i]; v.Ephemeral != nil {
			names.Insert(j.meta.Name + "-" + v.Name)
		}
	}
	return names
}

func (j *podJudge) validateVolumeSource(at *field.Path, v *corev1.Volume) field.ErrorList {
	s := &v.VolumeSource
	gce := kindOf("gcePersistentDisk", s.GCEPersistentDisk, validateGCEDisk)
	gce.at = "persistentDisk"
	ceph := kindOf("cephFS", s.CephFS, validateCephFS)
	ceph.at = "cephfs"
	errs := oneOfKinds(at, tooManyVolumeKinds, noVolumeKind,
		kindOf("emptyDir", s.EmptyDir, validateEmptyDir),
		kindOf("hostPath", s.HostPath, validateHostPath),
		kindOf("gitRepo", s.GitRepo, validateGitRepo),
		gce,
		kindOf("awsElasticBlockStore", s.AWSElasticBlockStore, validateAWSDisk),
		kindOf("secret", s.Secret, validateSecretVolume),
		kindOf("nfs", s.NFS, validateNFS),
		kindOf("iscsi", s.ISCSI, validateISCSIVolume),
		kindOf("glusterfs", s.Glusterfs, validateGlusterfs),
		kindOf("flocker", s.Flocker, validateFlocker),
		kindOf("persistentVolumeClaim", s.PersistentVolumeClaim, validateClaimVolume),
		kindOf("rbd", s.RBD, validateRBD),
		kindOf("cinder", s.Cinder, validateCinder),
		ceph,
		kindOf("quobyte", s.Quobyte, validateQuobyte),
		kindOf("downwardAPI", s.DownwardAPI, validateDownwardVolume),
		kindOf("fc", s.FC, validateFC),
		kindOf("flexVolume", s.FlexVolume, func(at *field.Path, f *corev1.FlexVolumeSource) field.ErrorList {
			return validateFlex(at, f.Driver, f.Options)
		}),
		kindOf("configMap", s.ConfigMap, validateConfigMapVolume),
		kindOf("azureFile", s.AzureFile, validateAzureFile),
		kindOf("vsphereVolume", s.VsphereVolume, validateVsphere),
		kindOf("photonPersistentDisk", s.PhotonPersistentDisk, validatePhoton),
		kindOf("portworxVolume", s.PortworxVolume, validatePortworx),
		kindOf("azureDisk", s.AzureDisk, validateAzureDisk),
		kindOf("storageos", s.StorageOS, validateStorageOS),
		kindOf("projected", s.Projected, j.validateProjected),
		kindOf("scaleIO", s.ScaleIO, validateScaleIO),
		kindOf("csi", s.CSI, validateCSIVolume),
		kindOf("ephemeral", s.Ephemeral, func(claim *field.Path, e *corev1.EphemeralVolumeSource) field.ErrorList {
			return append(validateEphemeral(claim, e), j.validateClaimName(at, v.Name)...)
		}),
		kindOf("image", s.Image, j.validateImageVolume),
	)
	if i := s.ISCSI; i != nil && i.InitiatorName != nil && len(v.Name+":"+i.TargetPortal) > maxISCSIName {
		errs = append(errs, field.Invalid(at.Child("name"), v.Name, iscsiNameTooLong))
	}
	return errs
}

// validateClaimName judges the name that the claim of an ephemeral volume will have.
func (j *podJudge) validateClaimName(at *field.Path, volume string) field.ErrorList {
	if j.meta == nil || j.meta.Name == "" || volume == "" {
		return nil
	}
	var errs field.ErrorList
	claim := j.meta.Name + "-" + volume
	for _, why := range meta.DNSSubdomain(claim, false) {
		errs = append(errs, field.Invalid(at.Child("name"), volume, fmt.Sprintf("PVC name %q: %v", claim, why)))
	}
	return errs
}

func validateEmptyDir(at *field.Path, s *corev1.EmptyDirVolumeSource) field.ErrorList {
	var errs field.ErrorList
	if s.SizeLimit != nil && s.SizeLimit.Sign() < 0 {
		errs = append(errs, field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	if s.Mode != nil && (*s.Mode < 0 || *s.Mode > 0o1777) {
		errs = append(errs, field.Invalid(at.Child("mode"), *s.Mode,
			"must be a number between 0 and 01777 (octal), both inclusive"))
	}
	return errs
}

func validateFileMode(at *field.Path, mode *int32) field.ErrorList {
	if mode == nil || *mode >= 0 && *mode <= 0o777 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
}

func validateSecretVolume(at *field.Path, s *corev1.SecretVolumeSource) field.ErrorList {
	return slices.Concat(
		rule.Given(at.Child("secretName"), s.SecretName),
		validateFileMode(at.Child("defaultMode"), s.DefaultMode),
		rule.UserID(at.Child("defaultUser"), s.DefaultUser),
		validateItems(at.Child("items"), s.Items))
}

func validateConfigMapVolume(at *field.Path, s *corev1.ConfigMapVolumeSource) field.ErrorList {
	return slices.Concat(
		rule.Given(at.Child("name"), s.Name),
		validateFileMode(at.Child("defaultMode"), s.DefaultMode),
		rule.UserID(at.Child("defaultUser"), s.DefaultUser),
		validateItems(at.Child("items"), s.Items))
}

func validateItems(at *field.Path, items []corev1.KeyToPath) field.ErrorList {
	var errs field.ErrorList
	for i, k := range items {
		at := at.Index(i)
		errs = slices.Concat(errs,
			rule.Given(at.Child("key"), k.Key),
			rule.Given(at.Child("path"), k.Path),
			rule.FileName(at.Child("path"), k.Path),
			validateFileMode(at.Child("mode"), k.Mode),
			rule.UserID(at.Child("user"), k.User))
	}
	return errs
}

func validateDownwardVolume(at *field.Path, s *corev1.DownwardAPIVolumeSource) field.ErrorList {
	errs := slices.Concat(
		validateFileMode(at.Child("defaultMode"), s.DefaultMode),
		rule.UserID(at.Child("defaultUser"), s.DefaultUser))
	for i := range s.Items {
		errs = append(errs, validateDownwardFile(at, &s.Items[i])...)
	}
	return errs
}

func validateDownwardFile(at *field.Path, f *corev1.DownwardAPIVolumeFile) field.ErrorList {
	errs := slices.Concat(
		rule.Given(at.Child("path"), f.Path),
		rule.FileName(at.Child("path"), f.Path))
	switch {
	case f.FieldRef != nil:
		errs = append(errs, validateFieldRef(at.Child("fieldRef"), f.FieldRef, fileFields())...)
		if f.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(at, "resource",
				"fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case f.ResourceFieldRef != nil:
		errs = append(errs, validateResourceFieldRef(at.Child("resourceFieldRef"), f.ResourceFieldRef, true)...)
	default:
		errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
	}
	return slices.Concat(errs,
		validateFileMode(at.Child("mode"), f.Mode),
		rule.UserID(at.Child("user"), f.User))
}

func validateClaimVolume(at *field.Path, s *corev1.PersistentVolumeClaimVolumeSource) field.ErrorList {
	return rule.Given(at.Child("claimName"), s.ClaimName)
}

func validateCSIVolume(at *field.Path, s *corev1.CSIVolumeSource) field.ErrorList {
	errs := ValidateCSIDriverName(at.Child("driver"), s.Driver)
	if ref := s.NodePublishSecretRef; ref != nil {
		if ref.Name == "" {
			return append(errs, field.Required(at.Child("nodePublishSecretRef", "name"), ""))
		}
		errs = append(errs, rule.Name(at.Child("name"), ref.Name, meta.DNSSubdomain)...)
	}
	return errs
}

func validateEphemeral(at *field.Path, s *corev1.EphemeralVolumeSource) field.ErrorList {
	at = at.Child("volumeClaimTemplate")
	t := s.VolumeClaimTemplate
	if t == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	return slices.Concat(
		validateTemplateMeta(at.Child("metadata"), &t.ObjectMeta),
		validateClaimSpec(at.Child("spec"), &t.Spec, claimRules{}))
}

// validateTemplateMeta judges metadata that is copied to generated objects: only labels and annotations mean anything.
func validateTemplateMeta(at *field.Path, m *metav1.ObjectMeta) field.ErrorList {
	return slices.Concat(
		validation.ValidateAnnotations(m.Annotations, at.Child("annotations")),
		rule.Labels(at.Child("labels"), m.Labels),
		onlyFields(at, *m, []string{"Annotations", "Labels"}, "cannot be set"))
}

func (j *podJudge) validateImageVolume(at *field.Path, s *corev1.ImageVolumeSource) field.ErrorList {
	var errs field.ErrorList
	if !j.laxImageVolumes {
		errs = rule.Given(at.Child("reference"), s.Reference)
	}
	return append(errs, validatePullPolicy(at.Child("pullPolicy"), s.PullPolicy)...)
}
