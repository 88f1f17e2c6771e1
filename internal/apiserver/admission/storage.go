package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/lookup"
)

// DefaultStorageClass gives claims that name no class the default one.
type DefaultStorageClass struct {
	validateNothing
	objects *lookup.Reader
}

// NewDefaultStorageClass returns the plugin.
func NewDefaultStorageClass(objects *lookup.Reader) *DefaultStorageClass {
	return &DefaultStorageClass{objects: objects}
}

// Name implements Plugin.
func (*DefaultStorageClass) Name() string { return "DefaultStorageClass" }

// Admit implements Plugin.
func (p *DefaultStorageClass) Admit(_ context.Context, op *Operation) error {
	claim, ok := op.Object.(*corev1.PersistentVolumeClaim)
	if !ok || op.Verb != opCreate || !op.on("", "persistentvolumeclaims") || claim.Spec.StorageClassName != nil {
		return nil
	}
	if _, named := claim.Annotations[corev1.BetaStorageClassAnnotation]; named {
		return nil
	}
	snapshot, err := p.objects.Snapshot(resource(storagev1.GroupName, "storageclasses"))
	if err != nil {
		return op.forbid("%w", err)
	}
	var classes []*storagev1.StorageClass
	for obj := range snapshot.All("") {
		if class, ok := obj.(*storagev1.StorageClass); ok {
			classes = append(classes, class)
		}
	}
	if class := defaultStorageClass(classes); class != nil {
		name := class.Name
		claim.Spec.StorageClassName = &name
	}
	return nil
}

// defaultStorageClass returns the newest of the classes marked as default, nil when there is none.
func defaultStorageClass(classes []*storagev1.StorageClass) *storagev1.StorageClass {
	var found *storagev1.StorageClass
	for _, class := range classes {
		marked := class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
			class.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
		if marked && (found == nil || newer(class, found)) {
			found = class
		}
	}
	return found
}

// newer orders by creation, newest first, then by name.
func newer(a, b metav1.Object) bool {
	at, bt := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if at.Equal(&bt) {
		return a.GetName() < b.GetName()
	}
	return bt.Before(&at)
}

// StorageObjectInUseProtection holds volumes, claims and attribute classes back from deletion until a controller finds them
// unused.
type StorageObjectInUseProtection struct{ validateNothing }

// NewStorageObjectInUseProtection returns the plugin.
func NewStorageObjectInUseProtection() *StorageObjectInUseProtection {
	return &StorageObjectInUseProtection{}
}

// Name implements Plugin.
func (*StorageObjectInUseProtection) Name() string { return "StorageObjectInUseProtection" }

// Admit implements Plugin.
func (*StorageObjectInUseProtection) Admit(_ context.Context, op *Operation) error {
	if op.Verb != opCreate {
		return nil
	}
	finalizer := ""
	switch {
	case op.on("", "persistentvolumes"):
		finalizer = "kubernetes.io/pv-protection"
	case op.on("", "persistentvolumeclaims"):
		finalizer = "kubernetes.io/pvc-protection"
	case op.on(storagev1.GroupName, "volumeattributesclasses"):
		finalizer = "kubernetes.io/vac-protection"
	default:
		return nil
	}
	obj, err := meta.Accessor(op.Object)
	if err != nil {
		return op.unexpected(op.Object)
	}
	if !slices.Contains(obj.GetFinalizers(), finalizer) {
		obj.SetFinalizers(append(obj.GetFinalizers(), finalizer))
	}
	return nil
}

// PersistentVolumeClaimResize refuses to grow a claim whose class does not allow it.
type PersistentVolumeClaimResize struct {
	admitNothing
	objects *lookup.Reader
}

// NewPersistentVolumeClaimResize returns the plugin.
func NewPersistentVolumeClaimResize(objects *lookup.Reader) *PersistentVolumeClaimResize {
	return &PersistentVolumeClaimResize{objects: objects}
}

// Name implements Plugin.
func (*PersistentVolumeClaimResize) Name() string { return "PersistentVolumeClaimResize" }

// Validate implements Plugin.
func (p *PersistentVolumeClaimResize) Validate(ctx context.Context, op *Operation) error {
	if op.Verb != opUpdate || !op.on("", "persistentvolumeclaims") {
		return nil
	}
	claim, isClaim := op.Object.(*corev1.PersistentVolumeClaim)
	old, wasClaim := op.Old.(*corev1.PersistentVolumeClaim)
	if !isClaim || !wasClaim {
		return op.unexpected(op.Object)
	}
	before, after := old.Spec.Resources.Requests[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if after.Cmp(before) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return op.forbid("Only bound persistent volume claims can be expanded")
	}
	name := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if name == "" && claim.Spec.StorageClassName != nil {
		name = *claim.Spec.StorageClassName
	}
	refusal := op.forbid("only dynamically provisioned pvc can be resized and " +
		"the storageclass that provisions the pvc must support resize")
	if name == "" {
		return refusal
	}
	class, err := lookup.Get[*storagev1.StorageClass](ctx, p.objects, resource(storagev1.GroupName, "storageclasses"), "", name)
	switch {
	case apierrors.IsNotFound(err):
		return refusal
	case err != nil:
		return err
	case class.AllowVolumeExpansion == nil || !*class.AllowVolumeExpansion:
		return refusal
	}
	return nil
}
