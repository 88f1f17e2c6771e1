package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/store"
)

// change makes the wished state of an object. Old is the state now, shared; nil when the object does not exist and may be
// created. The result belongs to the caller.
type change func(old api.Object) (api.Object, error)

// rules say how a write through the main resource or a subresource treats an object.
type rules struct {
	prepare func(obj, old api.Object)
	judge   func(obj, old api.Object) field.ErrorList
	// createMissing: a missing object is created (PUT where the kind allows it, apply always).
	createMissing bool
	// unconditional: an object without a resource version overwrites.
	unconditional bool
	// uid, when not empty, must be that of the object.
	uid types.UID
	// admitted: admission has had its say already.
	admitted bool
	// raw: the server's own change, neither admitted nor judged.
	raw bool
	// fresh: the image was as new as etcd when the object was read.
	fresh bool
	// last: a failed allocation is not tried again.
	last bool
	// emptied decides, besides the finalizers, whether a terminating object is gone after the write; nil: yes.
	emptied func(obj api.Object) bool
}

// Update replaces an object, or writes a subresource. Obj is of the target's stored type and belongs to the callee. The bool
// tells that the object was created.
func (c *Chain) Update(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, bool, error) {
	if call.Options == nil {
		call.Options = &metav1.UpdateOptions{FieldManager: call.FieldManager}
	}
	if !call.OwnKind() {
		out, err := c.updateSub(ctx, call, obj)
		return out, false, err
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("%T has no object metadata", obj))
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, false, err
	}
	if err := matchNamespace(k.res, call.Namespace, o); err != nil {
		return nil, false, err
	}
	if err := matchName(call.Name, o); err != nil {
		return nil, false, err
	}
	warnDuplicateOwners(call, o)
	r := c.rulesFor(call, k)
	r.createMissing = k.strategy().AllowCreateOnUpdate && call.Sub == nil
	r.uid = o.GetUID()
	target := call.patchTarget(k)
	return c.update(ctx, call, k, r, func(old api.Object) (api.Object, error) {
		next := o.DeepCopyObject().(api.Object)
		next.GetObjectKind().SetGroupVersionKind(k.stored.StoredGVK())
		if k.strategy().Default != nil {
			k.strategy().Default(next)
		}
		if old == nil {
			wipeSystemFields(next)
			old = target.Empty()
		}
		return c.fields.Update(target, old, next, call.FieldManager), nil
	})
}

// rulesFor returns the rules of the target. Subresources that read and write their resource's own kind have their own.
func (c *Chain) rulesFor(call *Call, k *kind) rules {
	s := k.strategy()
	r := rules{
		prepare: s.PrepareUpdate, judge: s.ValidateUpdate, unconditional: s.AllowUnconditionalUpdate,
		emptied: emptiedRule(k),
	}
	switch call.Target.Subresource() {
	case "":
	case "status":
		r.prepare, r.judge = s.PrepareStatus, s.ValidateStatus
		if r.prepare == nil {
			r.prepare = keepAllButStatus
		}
	default:
		r.prepare, r.judge = call.Sub.PrepareUpdate, call.Sub.ValidateUpdate
	}
	return r
}

// update brings an object to the state that change wishes, as often as it takes: a write that lost a race begins anew from the
// newer state, unless the caller named the state it started from.
func (c *Chain) update(ctx context.Context, call *Call, k *kind, r rules, wish change) (runtime.Object, bool, error) {
	fresh := false
	for attempt := 1; ; attempt++ {
		entry, item, exists := k.current(call.Namespace, call.Name)
		if !exists {
			if !fresh {
				if _, err := c.cfg.Store.Current(ctx); err != nil {
					return nil, false, storeError(err, call.groupResource(), call.Name)
				}
				fresh = true
				continue
			}
			out, retry, err := c.updateMissing(ctx, call, k, r, wish)
			if retry {
				continue
			}
			return out, err == nil, err
		}
		old, err := item.Object()
		if err != nil {
			return nil, false, err
		}
		r.fresh, r.last = fresh, attempt >= maxAllocAttempts
		out, retry, err := c.updateOnce(ctx, call, k, r, wish, entry, old)
		if !retry {
			return out, false, err
		}
		fresh = true
		// Another server may have written: see its writes before the next attempt.
		if _, err := c.cfg.Store.Current(ctx); err != nil {
			return nil, false, storeError(err, call.groupResource(), call.Name)
		}
	}
}

// updateMissing creates what an update found missing, where that is allowed.
func (c *Chain) updateMissing(
	ctx context.Context, call *Call, k *kind, r rules, wish change,
) (runtime.Object, bool, error) {
	if !r.createMissing {
		return nil, false, apierrors.NewNotFound(call.groupResource(), call.Name)
	}
	if r.uid != "" {
		return nil, false, uidConflict(call, k, r.uid, "")
	}
	a := call.Attributes
	a.Verb = "create"
	if err := c.Authorize(ctx, &a); err != nil {
		return nil, false, err
	}
	obj, err := wish(nil)
	if err != nil {
		return nil, false, err
	}
	if uid := obj.GetUID(); uid != "" {
		return nil, false, apierrors.NewConflict(call.groupResource(), call.Name, fmt.Errorf(
			"uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	wipeSystemFields(obj)
	if err := matchNamespace(k.res, call.Namespace, obj); err != nil {
		return nil, false, err
	}
	out, err := c.admitAndCreate(ctx, call, k, obj)
	if apierrors.IsAlreadyExists(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	return out, false, nil
}

// updateOnce tries to write the wished state over one known state. Retry tells that the state was not the newest.
func (c *Chain) updateOnce(
	ctx context.Context, call *Call, k *kind, r rules, wish change, entry store.Entry, old api.Object,
) (out runtime.Object, retry bool, err error) {
	if r.uid != "" && r.uid != old.GetUID() {
		return nil, false, uidConflict(call, k, r.uid, old.GetUID())
	}
	obj, err := wish(old)
	if err != nil {
		return nil, false, err
	}
	if err := checkRevision(call, r, obj, entry.Revision); err != nil {
		// Another server may have given the writer a newer state than this one has seen.
		return nil, errors.Is(err, errAhead), err
	}
	obj, err = c.reviewUpdate(ctx, call, k, r, obj, old)
	if err != nil {
		return nil, false, err
	}
	if deletedByUpdate(obj, old) && (r.emptied == nil || r.emptied(obj)) {
		return c.deleteEmptied(ctx, call, k, entry, obj)
	}
	ops, err := c.allocate(ctx, call, k, obj, old)
	if err != nil {
		return nil, false, err
	}
	value, err := k.coll.Encode(obj)
	if err != nil {
		return nil, false, apierrors.NewInternalError(fmt.Errorf("encoding %s: %w", entry.Key, err))
	}
	if len(ops) == 0 && bytes.Equal(value, entry.Value) {
		return old, false, nil
	}
	if call.DryRun {
		return obj, false, nil
	}
	main := store.Op{Kind: store.OpUpdate, Key: entry.Key, Value: value, Expect: entry.Revision, TTL: k.ttl()}
	rev, err := c.cfg.Store.Commit(ctx, append([]store.Op{main}, ops...)...)
	if err == nil {
		obj.SetResourceVersion(formatRevision(rev))
		return obj, false, nil
	}
	if i, lostRace := failedStep(err); lostRace && (i == 0 || !r.last) {
		return nil, true, nil
	}
	return nil, false, storeError(err, call.groupResource(), call.Name)
}

// reviewUpdate admits, prepares and judges an update.
func (c *Chain) reviewUpdate(ctx context.Context, call *Call, k *kind, r rules, obj, old api.Object) (api.Object, error) {
	if r.raw {
		return obj, nil
	}
	if !r.admitted {
		op := call.operation("update", obj, old)
		if err := c.admit(ctx, op); err != nil {
			return nil, err
		}
		var ok bool
		if obj, ok = op.Object.(api.Object); !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("admission made a %T", op.Object))
		}
	}
	warnDuplicateOwners(call, obj)
	if err := matchNamespace(k.res, call.Namespace, obj); err != nil {
		return nil, err
	}
	obj.SetGeneration(old.GetGeneration())
	if r.prepare != nil {
		r.prepare(obj, old)
	}
	keepIdentity(obj, old)
	if stamp := k.strategy().Stamp; stamp != nil {
		stamp(obj, old, c.cfg.Now())
	}
	if err := judgeChange(k, obj, old, r.judge); err != nil {
		return nil, err
	}
	if s := k.strategy(); s.Warnings != nil && call.Sub == nil {
		for _, w := range s.Warnings(obj, old) {
			call.warn(w)
		}
	}
	sameManagedFields(obj, old)
	if r.admitted {
		return obj, nil
	}
	if err := c.validate(ctx, call.operation("update", obj, old)); err != nil {
		return nil, err
	}
	return obj, nil
}

// checkRevision compares the resource version a writer started from with the newest one, and sets the newest where none was
// given and none is needed.
func checkRevision(call *Call, r rules, obj api.Object, newest int64) error {
	given := obj.GetResourceVersion()
	if given == "" || given == "0" {
		if r.unconditional {
			obj.SetResourceVersion(formatRevision(newest))
			return nil
		}
		gr := call.groupResource()
		return apierrors.NewInvalid(schema.GroupKind{Group: gr.Group, Kind: gr.Resource}, call.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
		})
	}
	revision, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	if revision > newest && !r.fresh {
		return errAhead
	}
	if revision != newest {
		return apierrors.NewConflict(call.groupResource(), call.Name, errModified)
	}
	return nil
}

// errAhead says that a writer has seen a newer state than the image has.
var errAhead = errors.New("the resource version is ahead of the image")

func uidConflict(call *Call, k *kind, asked, has types.UID) error {
	return apierrors.NewConflict(call.groupResource(), call.Name, fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "+
			"UID in precondition: %v, UID in object meta: %v", k.key(call.Namespace, call.Name), asked, has))
}

// deletedByUpdate tells whether an update took away the last thing that kept a terminating object.
func deletedByUpdate(obj, old api.Object) bool {
	if len(obj.GetFinalizers()) > 0 || old.GetDeletionTimestamp().IsZero() {
		return false
	}
	grace := old.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}
