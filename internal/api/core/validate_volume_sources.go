package core

import (
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Sources that volumes of pods and persistent volumes share. Most are of plugins that are gone; old manifests still name them.

func validateHostPath(at *field.Path, s *corev1.HostPathVolumeSource) field.ErrorList {
	if s.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	return slices.Concat(
		rule.NoClimbing(at.Child("path"), s.Path),
		rule.MaybeOneOf(at.Child("type"), s.Type, corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev,
			corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate,
			corev1.HostPathSocket))
}

func validateGitRepo(at *field.Path, s *corev1.GitRepoVolumeSource) field.ErrorList {
	return slices.Concat(
		rule.Given(at.Child("repository"), s.Repository),
		rule.RelativePath(at.Child("directory"), s.Directory))
}

func validatePartition(at *field.Path, n int32) field.ErrorList {
	return validateInRange(at.Child("partition"), n, 1, 255, 0)
}

// validateInRange refuses numbers outside the range, apart from one that stands for none. The text names the range alone.
func validateInRange(at *field.Path, n int32, low, high int, none int32) field.ErrorList {
	if n == none || int(n) >= low && int(n) <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(at, n, utilvalidation.InclusiveRangeError(low, high))}
}

func validateGCEDisk(at *field.Path, s *corev1.GCEPersistentDiskVolumeSource) field.ErrorList {
	return append(rule.Given(at.Child("pdName"), s.PDName), validatePartition(at, s.Partition)...)
}

func validateAWSDisk(at *field.Path, s *corev1.AWSElasticBlockStoreVolumeSource) field.ErrorList {
	return append(rule.Given(at.Child("volumeID"), s.VolumeID), validatePartition(at, s.Partition)...)
}

func validateNFS(at *field.Path, s *corev1.NFSVolumeSource) field.ErrorList {
	errs := append(rule.Given(at.Child("server"), s.Server), rule.Given(at.Child("path"), s.Path)...)
	if !path.IsAbs(s.Path) {
		errs = append(errs, field.Invalid(at.Child("path"), s.Path, "must be an absolute path"))
	}
	return errs
}

// Names of iSCSI initiators and targets: iqn with a date and a domain, eui or naa with a number.
var (
	iqnName = regexp.MustCompile(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`)
	euiName = regexp.MustCompile(`^eui.[[:alnum:]]{16}$`)
	naaName = regexp.MustCompile(`^naa.[[:alnum:]]{32}$`)
)

const (
	maxISCSIName     = 64
	iscsiNameTooLong = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters " +
		"if iscsi.initiatorName is specified."
)

func validateISCSIName(at *field.Path, name, unknown string) field.ErrorList {
	why := ""
	switch {
	case strings.HasPrefix(name, "iqn"):
		if !iqnName.MatchString(name) {
			why = "must be valid format"
		}
	case strings.HasPrefix(name, "eui"):
		if !euiName.MatchString(name) {
			why = "must be valid format"
		}
	case strings.HasPrefix(name, "naa"):
		if !naaName.MatchString(name) {
			why = "must be valid format"
		}
	default:
		why = unknown
	}
	if why == "" {
		return nil
	}
	return field.ErrorList{field.Invalid(at, name, why)}
}

type iscsi struct {
	portal, iqn string
	lun         int32
	chap        bool
	hasSecret   bool
	initiator   *string
	// unknown is the text about a name with none of the known beginnings.
	unknown string
}

func validateISCSI(at *field.Path, s iscsi) field.ErrorList {
	errs := append(rule.Given(at.Child("targetPortal"), s.portal), rule.Given(at.Child("iqn"), s.iqn)...)
	if s.iqn != "" {
		errs = append(errs, validateISCSIName(at.Child("iqn"), s.iqn, s.unknown)...)
	}
	errs = append(errs, validateInRange(at.Child("lun"), s.lun, 0, 255, 0)...)
	if s.chap && !s.hasSecret {
		errs = append(errs, field.Required(at.Child("secretRef"), ""))
	}
	if s.initiator != nil {
		errs = append(errs, validateISCSIName(at.Child("initiatorname"), *s.initiator, s.unknown)...)
	}
	return errs
}

func validateISCSIVolume(at *field.Path, s *corev1.ISCSIVolumeSource) field.ErrorList {
	return validateISCSI(at, iscsi{
		portal: s.TargetPortal, iqn: s.IQN, lun: s.Lun, chap: s.DiscoveryCHAPAuth || s.SessionCHAPAuth,
		hasSecret: s.SecretRef != nil, initiator: s.InitiatorName,
		unknown: "must be valid format starting with iqn, eui, or naa",
	})
}

func validateFC(at *field.Path, s *corev1.FCVolumeSource) field.ErrorList {
	names := at.Child("targetWWNs")
	switch {
	case len(s.TargetWWNs) == 0 && len(s.WWIDs) == 0:
		return field.ErrorList{field.Required(names, "must specify either targetWWNs or wwids, but not both")}
	case len(s.TargetWWNs) == 0:
		return nil
	}
	var errs field.ErrorList
	if len(s.WWIDs) > 0 {
		errs = append(errs, field.Invalid(names, s.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	if s.Lun == nil {
		return append(errs, field.Required(at.Child("lun"), "lun is required if targetWWNs is specified"))
	}
	return append(errs, validateInRange(at.Child("lun"), *s.Lun, 0, 255, 0)...)
}

func validateGlusterfs(at *field.Path, s *corev1.GlusterfsVolumeSource) field.ErrorList {
	return append(rule.Given(at.Child("endpoints"), s.EndpointsName), rule.Given(at.Child("path"), s.Path)...)
}

func validateFlocker(at *field.Path, s *corev1.FlockerVolumeSource) field.ErrorList {
	var errs field.ErrorList
	switch {
	case s.DatasetName == "" && s.DatasetUUID == "":
		errs = append(errs, field.Required(at, "one of datasetName and datasetUUID is required"))
	case s.DatasetName != "" && s.DatasetUUID != "":
		errs = append(errs, field.Invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(s.DatasetName, "/") {
		errs = append(errs, field.Invalid(at.Child("datasetName"), s.DatasetName, "must not contain '/'"))
	}
	return errs
}

func validateRBD(at *field.Path, s *corev1.RBDVolumeSource) field.ErrorList {
	return validateCeph(at, s.CephMonitors, s.RBDImage)
}

func validateCeph(at *field.Path, monitors []string, image string) field.ErrorList {
	return append(validateMonitors(at, monitors), rule.Given(at.Child("image"), image)...)
}

func validateMonitors(at *field.Path, monitors []string) field.ErrorList {
	if len(monitors) == 0 {
		return field.ErrorList{field.Required(at.Child("monitors"), "")}
	}
	return nil
}

func validateCephFS(at *field.Path, s *corev1.CephFSVolumeSource) field.ErrorList {
	return validateMonitors(at, s.Monitors)
}

func validateCinder(at *field.Path, s *corev1.CinderVolumeSource) field.ErrorList {
	errs := rule.Given(at.Child("volumeID"), s.VolumeID)
	if s.SecretRef != nil {
		errs = append(errs, rule.Given(at.Child("secretRef", "name"), s.SecretRef.Name)...)
	}
	return errs
}

func validateQuobyte(at *field.Path, s *corev1.QuobyteVolumeSource) field.ErrorList {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	var errs field.ErrorList
	switch {
	case s.Registry == "":
		errs = append(errs, field.Required(at.Child("registry"), pairs))
	case len(s.Tenant) >= 65:
		errs = append(errs, field.Required(at.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for pair := range strings.SplitSeq(s.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(at.Child("registry"), s.Registry, pairs))
			}
		}
	}
	return append(errs, rule.Given(at.Child("volume"), s.Volume)...)
}

func validateFlex(at *field.Path, driver string, options map[string]string) field.ErrorList {
	errs := rule.Given(at.Child("driver"), driver)
	for _, k := range slices.Sorted(maps.Keys(options)) {
		namespace, _, _ := strings.Cut(k, "/")
		dotted := "." + strings.ToLower(namespace)
		if strings.HasSuffix(dotted, ".kubernetes.io") || strings.HasSuffix(dotted, ".k8s.io") {
			errs = append(errs, field.Invalid(at.Child("options").Key(k), k, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

func validateAzureFile(at *field.Path, s *corev1.AzureFileVolumeSource) field.ErrorList {
	return append(rule.Given(at.Child("secretName"), s.SecretName), rule.Given(at.Child("shareName"), s.ShareName)...)
}

func validateAzureDisk(at *field.Path, s *corev1.AzureDiskVolumeSource) field.ErrorList {
	errs := slices.Concat(
		rule.Given(at.Child("diskName"), s.DiskName),
		rule.Given(at.Child("diskURI"), s.DataDiskURI),
		rule.MaybeOneOf(at.Child("cachingMode"), s.CachingMode,
			corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite),
		rule.MaybeOneOf(at.Child("kind"), s.Kind,
			corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk, corev1.AzureSharedBlobDisk))
	if s.Kind == nil {
		return errs
	}
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *s.Kind == corev1.AzureManagedDisk {
		prefix = "/subscriptions/"
		form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(s.DataDiskURI, prefix) {
		errs = append(errs, field.NotSupported(at.Child("diskURI"), s.DataDiskURI, []string{form}))
	}
	return errs
}

func validateVsphere(at *field.Path, s *corev1.VsphereVirtualDiskVolumeSource) field.ErrorList {
	return rule.Given(at.Child("volumePath"), s.VolumePath)
}

func validatePhoton(at *field.Path, s *corev1.PhotonPersistentDiskVolumeSource) field.ErrorList {
	return rule.Given(at.Child("pdID"), s.PdID)
}

func validatePortworx(at *field.Path, s *corev1.PortworxVolumeSource) field.ErrorList {
	return rule.Given(at.Child("volumeID"), s.VolumeID)
}

func validateScaleIO(at *field.Path, s *corev1.ScaleIOVolumeSource) field.ErrorList {
	return validateScaleIOFields(at, s.Gateway, s.System, s.VolumeName)
}

func validateScaleIOFields(at *field.Path, gateway, system, volume string) field.ErrorList {
	return slices.Concat(
		rule.Given(at.Child("gateway"), gateway),
		rule.Given(at.Child("system"), system),
		rule.Given(at.Child("volumeName"), volume))
}

func validateStorageOS(at *field.Path, s *corev1.StorageOSVolumeSource) field.ErrorList {
	errs := validateStorageOSNames(at, s.VolumeName, s.VolumeNamespace)
	if s.SecretRef != nil {
		errs = append(errs, rule.Given(at.Child("secretRef", "name"), s.SecretRef.Name)...)
	}
	return errs
}

func validateStorageOSNames(at *field.Path, name, namespace string) field.ErrorList {
	errs := rule.GivenDNSLabel(at.Child("volumeName"), name)
	if namespace != "" {
		errs = append(errs, rule.DNSLabel(at.Child("volumeNamespace"), namespace)...)
	}
	return errs
}

// ValidateCSIDriverName judges the name of a CSI driver: a DNS subdomain of at most 63 characters, in any case.
func ValidateCSIDriverName(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return append(rule.MaxBytes(at, name, 63), rule.Messages(at, name, meta.DNSSubdomain(strings.ToLower(name), false))...)
}
