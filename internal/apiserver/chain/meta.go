package chain

import (
	"fmt"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/apiserver/convert"
)

// maxGeneratedBase is how much of generateName is kept, so that the name with its suffix stays a label.
const maxGeneratedBase = 63 - 5

// wipeSystemFields takes out what only the server may say about a new object.
func wipeSystemFields(obj api.Object) {
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetUID("")
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	obj.SetResourceVersion("")
}

// fillSystemFields says what the server says about a new object.
func fillSystemFields(obj api.Object, now time.Time, uid types.UID) {
	obj.SetCreationTimestamp(metav1.NewTime(now.Truncate(time.Second)))
	obj.SetUID(uid)
}

// generatedName makes a name of a generateName and a suffix.
func generatedName(base, suffix string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	return base + suffix
}

// matchNamespace sets the request's namespace on an object that names none, and refuses another one. What has no namespace
// loses the one it names.
func matchNamespace(res *api.Resource, namespace string, obj api.Object) error {
	if !res.Namespaced {
		namespace = ""
	}
	if named := obj.GetNamespace(); named != "" && namespace != "" && named != namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	obj.SetNamespace(namespace)
	return nil
}

// matchName refuses an object that is named otherwise than the request.
func matchName(name string, obj api.Object) error {
	switch obj.GetName() {
	case name:
		return nil
	case "":
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the name of the object (%s based on URL) was undeterminable: name must be provided", name))
	default:
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), name))
	}
}

// keepIdentity gives an updated object what no update may change.
func keepIdentity(obj, old api.Object) {
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	if created := old.GetCreationTimestamp(); !created.IsZero() {
		obj.SetCreationTimestamp(created)
	}
	if deleted := old.GetDeletionTimestamp(); !deleted.IsZero() {
		obj.SetDeletionTimestamp(deleted)
	}
	if grace := old.GetDeletionGracePeriodSeconds(); grace != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(grace)
	}
}

// dropDuplicateOwners removes owner references that are in the list twice and tells whether there were any.
func dropDuplicateOwners(obj api.Object) bool {
	refs := obj.GetOwnerReferences()
	if len(refs) < 2 {
		return false
	}
	kept := make([]metav1.OwnerReference, 0, len(refs))
	for _, ref := range refs {
		seen := false
		for _, k := range kept {
			seen = seen || reflect.DeepEqual(k, ref)
		}
		if !seen {
			kept = append(kept, ref)
		}
	}
	if len(kept) == len(refs) {
		return false
	}
	obj.SetOwnerReferences(kept)
	return true
}

func warnDuplicateOwners(call *Call, obj api.Object) {
	if dropDuplicateOwners(obj) {
		call.warn(".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, " +
			"and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) were dropped")
	}
}

// judgeNew validates a new object: what its kind says, then what holds for any metadata.
func judgeNew(k *kind, obj api.Object) error {
	var errs field.ErrorList
	if judge := k.strategy().Validate; judge != nil {
		errs = judge(obj)
	}
	if len(errs) == 0 {
		errs = apivalidation.ValidateObjectMetaAccessor(
			obj, k.res.Namespaced, meta.AnyName, field.NewPath("metadata"))
	}
	return invalid(k.res, obj.GetName(), errs)
}

// judgeChange validates an update, by the kind's own judge for the main resource or a subresource.
func judgeChange(k *kind, obj, old api.Object, own func(obj, old api.Object) field.ErrorList) error {
	if own != nil {
		return invalid(k.res, obj.GetName(), own(obj, old))
	}
	at := field.NewPath("metadata")
	errs := apivalidation.ValidateObjectMetaAccessor(obj, k.res.Namespaced, meta.AnyName, at)
	errs = append(errs, apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, at)...)
	return invalid(k.res, obj.GetName(), errs)
}

// invalid makes a 422 of errors, or nil of none. An error that two judges found is told once.
func invalid(res *api.Resource, name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	seen := map[string]bool{}
	kept := errs[:0:0]
	for _, e := range errs {
		if text := e.Error(); !seen[text] {
			seen[text] = true
			kept = append(kept, e)
		}
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: res.Group, Kind: res.Kind}, name, kept)
}

// sameManagedFields keeps old's managedFields on obj when they differ in their times alone, so that a write that changes
// nothing stays a write of nothing.
func sameManagedFields(obj, old api.Object) {
	a, b := obj.GetManagedFields(), old.GetManagedFields()
	if len(a) != len(b) || len(a) == 0 {
		return
	}
	for i := range a {
		x, y := a[i], b[i]
		x.Time, y.Time = nil, nil
		if !reflect.DeepEqual(x, y) {
			return
		}
	}
	try, ok := convert.ShallowCopy(obj).(api.Object)
	if !ok {
		return
	}
	try.SetManagedFields(b)
	if equalObjects(try, old) {
		obj.SetManagedFields(b)
	}
}
