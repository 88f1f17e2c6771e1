package storage

import (
	"math"

	storagev1 "k8s.io/api/storage/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

// Limits of what an attacher reports, in bytes.
const (
	maxAttachmentBytes = 256 << 10
	maxErrorBytes      = 1024
)

func validateAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	at := field.NewPath("spec")
	errs := rule.DriverName(at.Child("attacher"), a.Spec.Attacher)
	errs = append(errs, validateAttachmentSource(at.Child("source"), &a.Spec.Source)...)
	errs = append(errs, rule.DNSSubdomain(at.Child("nodeName"), a.Spec.NodeName)...)
	errs = append(errs, validateAttachmentState(&a.Status)...)
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		errs = append(errs, rule.DNSSubdomain(at.Child("source", "persistentVolumeName"), *name)...)
	}
	return errs
}

func validateAttachmentUpdate(a, old *storagev1.VolumeAttachment) field.ErrorList {
	return append(validateAttachment(a), rule.Fixed(field.NewPath("spec"), a.Spec, old.Spec)...)
}

func validateAttachmentSource(at *field.Path, s *storagev1.VolumeAttachmentSource) field.ErrorList {
	const exactlyOne = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	inline, name := s.InlineVolumeSpec, s.PersistentVolumeName
	switch {
	case inline == nil && name == nil:
		return field.ErrorList{field.Required(at, exactlyOne)}
	case inline != nil && name != nil:
		return field.ErrorList{field.Forbidden(at, exactlyOne)}
	case inline != nil:
		return core.ValidateInlineVolume(at.Child("inlineVolumeSpec"), inline)
	case *name == "":
		return field.ErrorList{field.Required(at.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")}
	}
	return nil
}

func validateAttachmentState(s *storagev1.VolumeAttachmentStatus) field.ErrorList {
	at := field.NewPath("status")
	var errs field.ErrorList
	if mapBytes(s.AttachmentMetadata) > maxAttachmentBytes {
		errs = append(errs, field.TooLong(at.Child("attachmentMetadata"), "", maxAttachmentBytes))
	}
	errs = append(errs, validateVolumeError(at.Child("attachError"), s.AttachError)...)
	return append(errs, validateVolumeError(at.Child("detachError"), s.DetachError)...)
}

func validateVolumeError(at *field.Path, e *storagev1.VolumeError) field.ErrorList {
	if e == nil {
		return nil
	}
	errs := rule.MaxBytes(at.Child("message"), e.Message, maxErrorBytes)
	if e.ErrorCode != nil && *e.ErrorCode < 0 {
		errs = append(errs, field.Invalid(at.Child("errorCode"), *e.ErrorCode,
			utilvalidation.InclusiveRangeError(0, math.MaxInt32)))
	}
	return errs
}
