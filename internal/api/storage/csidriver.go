package storage

import (
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func csiDriver() *api.Resource {
	return meta.Entry[*storagev1.CSIDriver]{
		Group:   storagev1.GroupName,
		Version: "v1", Kind: "CSIDriver", Plural: "csidrivers",
		New:     meta.New[storagev1.CSIDriver],
		NewList: meta.Empty[storagev1.CSIDriverList],
		Path:    "csidrivers",
		Default: defaultDriver,
		PrepareUpdate: func(d, old *storagev1.CSIDriver) {
			if !equality.Semantic.DeepEqual(d.Spec, old.Spec) {
				d.Generation++
			}
		},
		ReturnDeleted:  true,
		Columns:        driverColumns(),
		Row:            driverRow,
		Validate:       validateCSIDriver,
		ValidateUpdate: validateCSIDriverUpdate,
		Warnings:       warnCSIDriver,
	}.Resource()
}

func defaultDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	if s.AttachRequired == nil {
		s.AttachRequired = new(true)
	}
	for _, flag := range []**bool{
		&s.PodInfoOnMount, &s.StorageCapacity, &s.RequiresRepublish, &s.SELinuxMount, &s.PreventPodSchedulingIfMissing,
	} {
		if *flag == nil {
			*flag = new(false)
		}
	}
	if s.FSGroupPolicy == nil {
		s.FSGroupPolicy = new(storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	}
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func driverColumns() []metav1.TableColumnDefinition {
	spec := storagev1.CSIDriverSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Typed("AttachRequired", "boolean", spec["attachRequired"]),
		meta.Typed("PodInfoOnMount", "boolean", spec["podInfoOnMount"]),
		meta.Typed("StorageCapacity", "boolean", spec["storageCapacity"]),
		meta.Column("TokenRequests", spec["tokenRequests"]),
		meta.Typed("RequiresRepublish", "boolean", spec["requiresRepublish"]),
		meta.Column("Modes", spec["volumeLifecycleModes"]),
		meta.AgeColumn(),
	}
}

func driverRow(d *storagev1.CSIDriver, now time.Time) []any {
	s := &d.Spec
	modes := make([]string, len(s.VolumeLifecycleModes))
	for i, m := range s.VolumeLifecycleModes {
		modes[i] = string(m)
	}
	tokens := meta.Unset
	if s.TokenRequests != nil {
		audiences := make([]string, len(s.TokenRequests))
		for i, r := range s.TokenRequests {
			audiences[i] = r.Audience
		}
		tokens = strings.Join(audiences, ",")
	}
	return []any{
		d.Name, s.AttachRequired == nil || *s.AttachRequired, meta.Deref(s.PodInfoOnMount), meta.Deref(s.StorageCapacity), tokens,
		meta.Deref(s.RequiresRepublish), meta.OrNone(strings.Join(modes, ",")), meta.Age(d, now),
	}
}
