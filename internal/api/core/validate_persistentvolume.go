package core

import (
	"fmt"
	"maps"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

func validateVolume(v *corev1.PersistentVolume) field.ErrorList {
	return append(validateVolumeSpec(specAt(), &v.Spec, v.Name, false), validateMountAnnotation(v)...)
}

// validateMountAnnotation refuses the annotation from before there was a field, but for the kinds of volume that took it.
func validateMountAnnotation(v *corev1.PersistentVolume) field.ErrorList {
	if _, ok := v.Annotations[corev1.MountOptionAnnotation]; !ok {
		return nil
	}
	s := &v.Spec.PersistentVolumeSource
	if s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil || s.RBD != nil ||
		s.Quobyte != nil || s.ISCSI != nil || s.Cinder != nil || s.CephFS != nil || s.AzureFile != nil ||
		s.VsphereVolume != nil || s.AzureDisk != nil || s.PhotonPersistentDisk != nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "annotations", corev1.MountOptionAnnotation),
		"may not specify mount options for this volume type")}
}

func validateVolumeSpec(at *field.Path, s *corev1.PersistentVolumeSpec, name string, laxAffinity bool) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), ""))
	}
	errs = slices.Concat(errs,
		validateAccessModes(at.Child("accessModes"), s.AccessModes),
		validateCapacity(at.Child("capacity"), s.Capacity))
	if p := s.PersistentVolumeReclaimPolicy; p != "" {
		errs = append(errs, rule.OneOf(at.Child("persistentVolumeReclaimPolicy"), p, corev1.PersistentVolumeReclaimDelete,
			corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if a := s.NodeAffinity; a != nil {
		at := at.Child("nodeAffinity", "required")
		if a.Required == nil {
			errs = append(errs, field.Required(at, "must specify required node constraints"))
		} else {
			errs = append(errs, validateNodeSelector(at, a.Required, laxAffinity)...)
		}
	}
	errs = append(errs, validatePersistentSource(at, s, name)...)
	if s.HostPath != nil && path.Clean(s.HostPath.Path) == "/" &&
		s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"),
			"may not be 'recycle' for a hostPath mount of '/'"))
	}
	errs = slices.Concat(errs,
		validateClassName(at.Child("storageClassName"), s.StorageClassName),
		rule.MaybeOneOf(at.Child("volumeMode"), s.VolumeMode,
			corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem))
	if class := s.VolumeAttributesClassName; class != nil {
		if *class == "" {
			errs = append(errs, field.Required(at.Child("volumeAttributesClassName"), "an empty string is disallowed"))
		}
		errs = append(errs, validateClassName(at.Child("volumeAttributesClassName"), *class)...)
		if s.CSI == nil {
			errs = append(errs, field.Required(at.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return errs
}

func validateCapacity(at *field.Path, list corev1.ResourceList) field.ErrorList {
	var errs field.ErrorList
	if len(list) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if _, ok := list[corev1.ResourceStorage]; !ok || len(list) > 1 {
		errs = append(errs, field.NotSupported(at, list, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		errs = slices.Concat(errs,
			validateNotBelowZero(at.Key(string(name)), q.Value()),
			rule.PositiveQuantity(at.Key(string(name)), q))
	}
	return errs
}

func validatePersistentSource(at *field.Path, s *corev1.PersistentVolumeSpec, name string) field.ErrorList {
	gce := kindOf("gcePersistentDisk", s.GCEPersistentDisk, validateGCEDisk)
	gce.at = "persistentDisk"
	ceph := kindOf("cephFS", s.CephFS, func(at *field.Path, c *corev1.CephFSPersistentVolumeSource) field.ErrorList {
		return validateMonitors(at, c.Monitors)
	})
	ceph.at = "cephfs"
	errs := oneOfKinds(at, tooManyVolumeKinds, noVolumeKind,
		kindOf("hostPath", s.HostPath, validateHostPath),
		gce,
		kindOf("awsElasticBlockStore", s.AWSElasticBlockStore, validateAWSDisk),
		kindOf("glusterfs", s.Glusterfs, validatePersistentGlusterfs),
		kindOf("flocker", s.Flocker, validateFlocker),
		kindOf("nfs", s.NFS, validateNFS),
		kindOf("rbd", s.RBD, func(at *field.Path, r *corev1.RBDPersistentVolumeSource) field.ErrorList {
			return validateCeph(at, r.CephMonitors, r.RBDImage)
		}),
		kindOf("quobyte", s.Quobyte, validateQuobyte),
		ceph,
		kindOf("iscsi", s.ISCSI, func(at *field.Path, i *corev1.ISCSIPersistentVolumeSource) field.ErrorList {
			return validatePersistentISCSI(at, i, name)
		}),
		kindOf("cinder", s.Cinder, func(at *field.Path, c *corev1.CinderPersistentVolumeSource) field.ErrorList {
			return append(rule.Given(at.Child("volumeID"), c.VolumeID), givenSecret(at.Child("secretRef"), c.SecretRef)...)
		}),
		kindOf("fc", s.FC, validateFC),
		kindOf("flexVolume", s.FlexVolume, func(at *field.Path, f *corev1.FlexPersistentVolumeSource) field.ErrorList {
			return validateFlex(at, f.Driver, f.Options)
		}),
		kindOf("azureFile", s.AzureFile, validatePersistentAzureFile),
		kindOf("vsphereVolume", s.VsphereVolume, validateVsphere),
		kindOf("photonPersistentDisk", s.PhotonPersistentDisk, validatePhoton),
		kindOf("portworxVolume", s.PortworxVolume, validatePortworx),
		kindOf("azureDisk", s.AzureDisk, validateAzureDisk),
		kindOf("scaleIO", s.ScaleIO, func(at *field.Path, io *corev1.ScaleIOPersistentVolumeSource) field.ErrorList {
			return validateScaleIOFields(at, io.Gateway, io.System, io.VolumeName)
		}),
		kindOf("local", s.Local, func(local *field.Path, l *corev1.LocalVolumeSource) field.ErrorList {
			errs := validateLocal(local, l)
			if s.NodeAffinity == nil {
				errs = append(errs, field.Required(at.Child("nodeAffinity"), "Local volume requires node affinity"))
			}
			return errs
		}),
		kindOf("storageos", s.StorageOS, validatePersistentStorageOS),
		kindOf("csi", s.CSI, validatePersistentCSI),
	)
	return errs
}

func validateLocal(at *field.Path, s *corev1.LocalVolumeSource) field.ErrorList {
	return append(rule.Given(at.Child("path"), s.Path), rule.NoClimbing(at.Child("path"), s.Path)...)
}

func validatePersistentGlusterfs(at *field.Path, s *corev1.GlusterfsPersistentVolumeSource) field.ErrorList {
	errs := append(rule.Given(at.Child("endpoints"), s.EndpointsName), rule.Given(at.Child("path"), s.Path)...)
	switch ns := s.EndpointsNamespace; {
	case ns == nil:
	case *ns == "":
		errs = append(errs, field.Invalid(at.Child("endpointsNamespace"), *ns,
			"if the endpointnamespace is set, it must be a valid namespace name"))
	default:
		errs = append(errs, rule.Name(at.Child("endpointsNamespace"), *ns, meta.DNSLabel)...)
	}
	return errs
}

func validatePersistentISCSI(at *field.Path, s *corev1.ISCSIPersistentVolumeSource, name string) field.ErrorList {
	errs := validateISCSI(at, iscsi{
		portal: s.TargetPortal, iqn: s.IQN, lun: s.Lun, chap: s.DiscoveryCHAPAuth || s.SessionCHAPAuth,
		hasSecret: s.SecretRef != nil, initiator: s.InitiatorName, unknown: "must be valid format",
	})
	if s.InitiatorName != nil && len(name+":"+s.TargetPortal) > maxISCSIName {
		errs = append(errs, field.Invalid(at.Child("targetportal"), s.TargetPortal, iscsiNameTooLong))
	}
	if s.SecretRef != nil {
		errs = append(errs, rule.Given(at.Child("secretRef", "name"), s.SecretRef.Name)...)
	}
	return errs
}

// givenSecret judges a reference to a secret, which volumes have to give with a namespace.
func givenSecret(at *field.Path, ref *corev1.SecretReference) field.ErrorList {
	if ref == nil {
		return nil
	}
	return append(rule.Given(at.Child("name"), ref.Name), rule.Given(at.Child("namespace"), ref.Namespace)...)
}

func validatePersistentAzureFile(at *field.Path, s *corev1.AzureFilePersistentVolumeSource) field.ErrorList {
	errs := append(rule.Given(at.Child("secretName"), s.SecretName), rule.Given(at.Child("shareName"), s.ShareName)...)
	if s.SecretNamespace != nil {
		errs = append(errs, rule.Given(at.Child("secretNamespace"), *s.SecretNamespace)...)
	}
	return errs
}

func validatePersistentStorageOS(at *field.Path, s *corev1.StorageOSPersistentVolumeSource) field.ErrorList {
	errs := validateStorageOSNames(at, s.VolumeName, s.VolumeNamespace)
	if s.SecretRef != nil {
		errs = slices.Concat(errs,
			rule.Given(at.Child("secretRef", "name"), s.SecretRef.Name),
			rule.Given(at.Child("secretRef", "namespace"), s.SecretRef.Namespace))
	}
	return errs
}

func validatePersistentCSI(at *field.Path, s *corev1.CSIPersistentVolumeSource) field.ErrorList {
	errs := append(ValidateCSIDriverName(at.Child("driver"), s.Driver), rule.Given(at.Child("volumeHandle"), s.VolumeHandle)...)
	for _, ref := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", s.ControllerPublishSecretRef},
		{"controllerExpandSecretRef", s.ControllerExpandSecretRef},
		{"nodePublishSecretRef", s.NodePublishSecretRef},
		{"nodeExpandSecretRef", s.NodeExpandSecretRef},
	} {
		if at := at.Child(ref.name); ref.ref != nil {
			errs = slices.Concat(errs,
				rule.GivenName(at.Child("name"), ref.ref.Name, meta.DNSSubdomain),
				rule.GivenDNSLabel(at.Child("namespace"), ref.ref.Namespace))
		}
	}
	return errs
}

// ValidateInlineVolume judges the spec of a volume that an attachment carries itself, which stands for one in a pod.
func ValidateInlineVolume(at *field.Path, s *corev1.PersistentVolumeSpec) field.ErrorList {
	const where = "in the context of inline volumes"
	var errs field.ErrorList
	refuse := func(set bool, name string) {
		if set {
			errs = append(errs, field.Forbidden(at.Child(name), "may not be specified "+where))
		}
	}
	refuse(s.ClaimRef != nil, "claimRef")
	refuse(len(s.Capacity) > 0, "capacity")
	if s.CSI == nil {
		errs = append(errs, field.Required(at.Child("csi"), "has to be specified "+where))
	}
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), ""))
	}
	errs = append(errs, validateAccessModes(at.Child("accessModes"), s.AccessModes)...)
	if p := s.PersistentVolumeReclaimPolicy; p != "" && p != corev1.PersistentVolumeReclaimRetain {
		errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may only be Retain "+where))
	}
	refuse(s.NodeAffinity != nil, "nodeAffinity")
	errs = append(errs, validatePersistentSource(at, s, "")...)
	refuse(s.StorageClassName != "", "storageClassName")
	if m := s.VolumeMode; m != nil && *m != corev1.PersistentVolumeFilesystem {
		errs = append(errs, field.Forbidden(at.Child("volumeMode"), "may not specify volumeMode other than Filesystem "+where))
	}
	return errs
}

// validateVolumeUpdate judges a write to a volume: where its data are stays as it is.
func validateVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	before := old.Spec.NodeAffinity
	errs := validateVolumeSpec(specAt(), &v.Spec, v.Name, before != nil && before.Required != nil &&
		nodeSelectorHasBadValues(before.Required))
	errs = append(errs, validateMountAnnotation(v)...)
	is, was := v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource
	if is.CSI != nil && was.CSI != nil && was.CSI.ControllerExpandSecretRef == nil {
		// The secret for expansion may be given later.
		is.CSI = is.CSI.DeepCopy()
		is.CSI.ControllerExpandSecretRef = nil
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "persistentvolumesource"),
			fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v", diff.Diff(was, is))))
	}
	errs = append(errs, validateImmutable(field.NewPath("volumeMode"), v.Spec.VolumeMode, old.Spec.VolumeMode)...)
	if now := v.Spec.NodeAffinity; before != nil && !equality.Semantic.DeepEqual(now, before) && !onlyRenamesLabels(now, before) {
		errs = append(errs, field.Invalid(field.NewPath("nodeAffinity"), now,
			rule.Immutable+", except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(specAt().Child("volumeAttributesClassName"),
			"update from non-nil value to nil is forbidden"))
	}
	return errs
}

// onlyRenamesLabels tells whether the new affinity is the old one with labels under their present names.
func onlyRenamesLabels(now, before *corev1.VolumeNodeAffinity) bool {
	if now == nil || now.Required == nil || before.Required == nil {
		return false
	}
	a := before.DeepCopy()
	for i := range a.Required.NodeSelectorTerms {
		for k := range a.Required.NodeSelectorTerms[i].MatchExpressions {
			if i >= len(now.Required.NodeSelectorTerms) || k >= len(now.Required.NodeSelectorTerms[i].MatchExpressions) {
				return false
			}
			e := &a.Required.NodeSelectorTerms[i].MatchExpressions[k]
			if name := now.Required.NodeSelectorTerms[i].MatchExpressions[k].Key; name == presentLabel(e.Key) {
				e.Key = name
			}
		}
	}
	return equality.Semantic.DeepEqual(now, a)
}

// presentLabel returns the stable name of a label that was once in beta, or "".
func presentLabel(key string) string {
	switch key {
	case corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	case corev1.LabelFailureDomainBetaRegion:
		return corev1.LabelTopologyRegion
	case "beta.kubernetes.io/os":
		return corev1.LabelOSStable
	case "beta.kubernetes.io/arch":
		return corev1.LabelArchStable
	case corev1.LabelInstanceType:
		return corev1.LabelInstanceTypeStable
	}
	return ""
}

// warnVolume returns the warnings for a volume.
func warnVolume(v, _ *corev1.PersistentVolume) []string {
	var out []string
	for _, a := range []struct{ key, why string }{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, ok := v.Annotations[a.key]; ok {
			out = append(out, fmt.Sprintf("%s: %s", metadataAt().Child("annotations").Key(a.key), a.why))
		}
	}
	at, s := specAt(), &v.Spec
	if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		out = append(out, fmt.Sprintf("%s: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to "+
			"use dynamic provisioning.", at.Child("persistentVolumeReclaimPolicy")))
	}
	if s.NodeAffinity != nil && s.NodeAffinity.Required != nil {
		for i := range s.NodeAffinity.Required.NodeSelectorTerms {
			out = append(out, warnNodeTerm(at.Child("nodeAffinity", "required", "nodeSelectorTerms").Index(i),
				&s.NodeAffinity.Required.NodeSelectorTerms[i], false)...)
		}
	}
	return append(out, warnGone(at, []gonePlugin{
		{s.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
		{s.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
		{s.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
		{s.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
		{s.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		{s.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
	})...)
}
