package chain

import (
	"context"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/store"
)

// deleteWorkers is how many objects of a deletecollection are deleted at once.
const deleteWorkers = 8

// Deletion is the answer to a delete.
type Deletion struct {
	// Object is the object's last or marked state, or a Status.
	Object runtime.Object
	// Gone tells that the object does not exist any more.
	Gone bool
}

// Delete deletes an object, or marks it for whoever finishes it.
func (c *Chain) Delete(ctx context.Context, call *Call, opts *metav1.DeleteOptions) (Deletion, error) {
	if err := validateDeleteOptions(opts); err != nil {
		return Deletion{}, err
	}
	if call.Options == nil {
		call.Options = opts
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return Deletion{}, err
	}
	if call.Sub != nil {
		return Deletion{}, apierrors.NewMethodNotSupported(call.groupResource(), "delete")
	}
	return c.delete(ctx, call, k, opts)
}

func validateDeleteOptions(opts *metav1.DeleteOptions) error {
	if errs := validation.ValidateDeleteOptions(opts); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	return nil
}

func (c *Chain) delete(ctx context.Context, call *Call, k *kind, opts *metav1.DeleteOptions) (Deletion, error) {
	fresh := false
	for {
		entry, item, exists := k.current(call.Namespace, call.Name)
		if !exists {
			if fresh {
				return Deletion{}, apierrors.NewNotFound(call.groupResource(), call.Name)
			}
			if _, err := c.cfg.Store.Current(ctx); err != nil {
				return Deletion{}, storeError(err, call.groupResource(), call.Name)
			}
			fresh = true
			continue
		}
		old, err := item.Object()
		if err != nil {
			return Deletion{}, err
		}
		out, retry, err := c.deleteOnce(ctx, call, k, opts, entry, old, fresh)
		if !retry {
			return out, err
		}
		fresh = true
		if _, err := c.cfg.Store.Current(ctx); err != nil {
			return Deletion{}, storeError(err, call.groupResource(), call.Name)
		}
	}
}

func (c *Chain) deleteOnce(
	ctx context.Context, call *Call, k *kind, opts *metav1.DeleteOptions, entry store.Entry, old api.Object, fresh bool,
) (out Deletion, retry bool, err error) {
	if err := checkPreconditions(k.res, old, opts.Preconditions); err != nil {
		return out, !fresh, err // this server's image may lag behind what the caller has seen
	}
	op := call.operation("delete", nil, old)
	op.Delete = opts
	if err := c.admit(ctx, op); err != nil {
		return out, false, err
	}
	if err := c.validate(ctx, op); err != nil {
		return out, false, err
	}
	marked := old.DeepCopyObject().(api.Object)
	switch planDelete(k.strategy(), marked, opts, c.cfg.Now()) {
	case alreadyMarked:
		return Deletion{Object: old}, false, nil
	case deleteLater:
		return c.commitMarked(ctx, call, k, entry, marked)
	default:
		return c.commitDelete(ctx, call, k, entry, old)
	}
}

func (c *Chain) commitMarked(
	ctx context.Context, call *Call, k *kind, entry store.Entry, marked api.Object,
) (out Deletion, retry bool, err error) {
	if call.DryRun {
		return Deletion{Object: marked}, false, nil
	}
	value, err := k.coll.Encode(marked)
	if err != nil {
		return out, false, apierrors.NewInternalError(fmt.Errorf("encoding %s: %w", entry.Key, err))
	}
	rev, err := c.cfg.Store.Commit(ctx, store.Op{
		Kind: store.OpUpdate, Key: entry.Key, Value: value, Expect: entry.Revision, TTL: k.ttl(),
	})
	if err != nil {
		_, lostRace := failedStep(err)
		return out, lostRace, storeError(err, call.groupResource(), call.Name)
	}
	marked.SetResourceVersion(formatRevision(rev))
	return Deletion{Object: marked}, false, nil
}

func (c *Chain) commitDelete(
	ctx context.Context, call *Call, k *kind, entry store.Entry, old api.Object,
) (out Deletion, retry bool, err error) {
	ops, err := c.allocateFreed(ctx, call, k, old)
	if err != nil {
		return out, false, err
	}
	last := old
	if !call.DryRun {
		main := store.Op{Kind: store.OpDelete, Key: entry.Key, Expect: entry.Revision}
		rev, err := c.cfg.Store.Commit(ctx, append([]store.Op{main}, ops...)...)
		if err != nil {
			_, lostRace := failedStep(err)
			return out, lostRace, storeError(err, call.groupResource(), call.Name)
		}
		last = atRevision(old, rev)
	}
	if returnsDeleted(k.res) {
		return Deletion{Object: last, Gone: true}, false, nil
	}
	return Deletion{Object: successStatus(call, old), Gone: true}, false, nil
}

func successStatus(call *Call, old api.Object) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusSuccess, Code: http.StatusOK,
		Details: &metav1.StatusDetails{
			Name: old.GetName(), Group: call.Attributes.Group, Kind: call.Attributes.Resource, UID: old.GetUID(),
		},
	}
}

// allocateFreed asks the kind's allocator for what must be freed with a delete.
func (c *Chain) allocateFreed(ctx context.Context, call *Call, k *kind, old api.Object) ([]store.Op, error) {
	return c.allocate(ctx, call, k, nil, old)
}

// deleteEmptied removes an object whose last finalizer an update took away. The answer is the updated object.
func (c *Chain) deleteEmptied(
	ctx context.Context, call *Call, k *kind, entry store.Entry, obj api.Object,
) (out runtime.Object, retry bool, err error) {
	_, retry, err = c.commitDelete(ctx, call, k, entry, obj)
	if err != nil || retry {
		if retry {
			err = nil
		}
		return nil, retry, err
	}
	return obj, false, nil
}

// DeleteCollection deletes what the call's selectors show and returns the last states.
func (c *Chain) DeleteCollection(
	ctx context.Context, call *Call, list ListOptions, opts *metav1.DeleteOptions,
) (*Listing, error) {
	if err := validateDeleteOptions(opts); err != nil {
		return nil, err
	}
	if call.Options == nil {
		call.Options = opts
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	found, err := c.List(ctx, call, list)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deleteWorkers)
	for _, item := range found.Items {
		group.Go(func() error {
			obj, err := item.Object()
			if err != nil {
				return err
			}
			one := *call
			one.Attributes.Verb = "delete"
			one.Attributes.Namespace, one.Attributes.Name = obj.GetNamespace(), obj.GetName()
			_, err = c.delete(ctx, &one, k, opts.DeepCopy())
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}
