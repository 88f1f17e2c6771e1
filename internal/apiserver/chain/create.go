package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/store"
)

// Limits of retries. A generated name that is taken is replaced as often as upstream does.
const (
	maxNameAttempts  = 8
	maxAllocAttempts = 16
	// eventTTL is how long Events are kept, in seconds.
	eventTTL = 3600
)

// Create stores a new object, or lets a subresource or review answer. Obj is of the target's stored type and belongs to the
// callee.
func (c *Chain) Create(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	if call.Options == nil {
		call.Options = &metav1.CreateOptions{FieldManager: call.FieldManager}
	}
	if h := c.handler(call); h != nil {
		return c.handle(ctx, call, obj, h)
	}
	if call.Sub != nil {
		return c.createSub(ctx, call, obj)
	}
	if call.groupResource().String() == "bindings" {
		return c.bind(ctx, call, obj)
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%T has no object metadata", obj))
	}
	k, err := c.kind(ctx, call.Target.Resource)
	if err != nil {
		return nil, err
	}
	wipeSystemFields(o)
	if call.Name == "" {
		call.Name = o.GetName()
	}
	if call.Namespace == "" && call.groupResource().String() == "namespaces" {
		call.Namespace = o.GetName()
	}
	return c.createObject(ctx, call, k, o)
}

// createObject defaults, admits, judges and stores a new object.
func (c *Chain) createObject(ctx context.Context, call *Call, k *kind, obj api.Object) (api.Object, error) {
	if err := matchNamespace(k.res, call.Namespace, obj); err != nil {
		return nil, err
	}
	warnDuplicateOwners(call, obj)
	s := k.strategy()
	if s.Default != nil {
		s.Default(obj)
	}
	target := call.patchTarget(k)
	obj.GetObjectKind().SetGroupVersionKind(k.stored.StoredGVK())
	obj = c.fields.Update(target, target.Empty(), obj, call.FieldManager)
	return c.admitAndCreate(ctx, call, k, obj)
}

// admitAndCreate continues with an object whose defaults and managed fields are set.
func (c *Chain) admitAndCreate(ctx context.Context, call *Call, k *kind, obj api.Object) (api.Object, error) {
	op := call.operation("create", obj, nil)
	if err := c.admit(ctx, op); err != nil {
		return nil, err
	}
	obj, ok := op.Object.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("admission made a %T", op.Object))
	}
	warnDuplicateOwners(call, obj)
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	for attempt := 1; ; attempt++ {
		try := obj
		if generated {
			try = obj.DeepCopyObject().(api.Object)
			try.SetName(generatedName(obj.GetGenerateName(), c.suffix()))
		}
		out, err := c.storeNew(ctx, call, k, try)
		if generated && apierrors.IsAlreadyExists(err) {
			if attempt < maxNameAttempts {
				continue
			}
			return nil, apierrors.NewGenerateNameConflict(call.groupResource(), try.GetName(), 1)
		}
		return out, err
	}
}

// storeNew prepares, judges, allocates and commits.
func (c *Chain) storeNew(ctx context.Context, call *Call, k *kind, obj api.Object) (api.Object, error) {
	s := k.strategy()
	fillSystemFields(obj, c.cfg.Now(), c.cfg.NewUID())
	prepareNew(s, obj, call, c.cfg.Now())
	if err := judgeNew(k, obj); err != nil {
		return nil, err
	}
	if s.Warnings != nil {
		for _, w := range s.Warnings(obj, nil) {
			call.warn(w)
		}
	}
	op := call.operation("create", obj, nil)
	op.Name = obj.GetName()
	if err := c.validate(ctx, op); err != nil {
		return nil, err
	}
	key := k.key(obj.GetNamespace(), obj.GetName())
	for attempt := 1; ; attempt++ {
		try := obj
		if c.cfg.Allocators[k.stored.GroupResource()] != nil {
			// What one attempt allocates must not look like a wish in the next.
			try = obj.DeepCopyObject().(api.Object)
		}
		ops, err := c.allocate(ctx, call, k, try, nil)
		if err != nil {
			return nil, err
		}
		if call.DryRun {
			if _, taken := k.coll.Snapshot().Get(key); taken {
				return nil, apierrors.NewAlreadyExists(call.groupResource(), obj.GetName())
			}
			return try, nil
		}
		value, err := k.coll.Encode(try)
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("encoding %s: %w", key, err))
		}
		main := store.Op{Kind: store.OpCreate, Key: key, Value: value, TTL: k.ttl()}
		rev, err := c.cfg.Store.Commit(ctx, append([]store.Op{main}, ops...)...)
		if err == nil {
			try.SetResourceVersion(formatRevision(rev))
			return try, nil
		}
		if i, ok := failedStep(err); ok && i > 0 && attempt < maxAllocAttempts {
			if _, err := c.cfg.Store.Current(ctx); err != nil {
				return nil, storeError(err, call.groupResource(), obj.GetName())
			}
			continue
		}
		return nil, storeError(err, call.groupResource(), obj.GetName())
	}
}

// prepareNew lets the kind's strategy make a new object ready.
func prepareNew(s *api.Strategy, obj api.Object, call *Call, now time.Time) {
	if s.PrepareCreate != nil {
		s.PrepareCreate(obj)
	}
	if s.SetRequester != nil {
		u := &call.User
		s.SetRequester(obj, api.Requester{Name: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra})
	}
	if s.Stamp != nil {
		s.Stamp(obj, nil, now)
	}
}

// ttl is how long an object of the kind is kept, in seconds; 0 for ever.
func (k *kind) ttl() int64 {
	if k.stored.Plural == "events" && k.stored.Group == "" {
		return eventTTL
	}
	return 0
}

// allocate asks the kind's allocator for what must be committed with a write.
func (c *Chain) allocate(ctx context.Context, call *Call, k *kind, obj, old api.Object) ([]store.Op, error) {
	a := c.cfg.Allocators[k.stored.GroupResource()]
	if a == nil {
		return nil, nil
	}
	ops, err := a.Allocate(ctx, obj, old, call.DryRun)
	if err == nil {
		return ops, nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return nil, err
	}
	return nil, storeError(err, call.groupResource(), call.Name)
}

// handler returns the special handler of a create, if there is one.
func (c *Chain) handler(call *Call) Handler {
	name := call.groupResource().String()
	if call.Sub != nil {
		name += "/" + call.Sub.Name
	}
	return c.cfg.Handlers[name]
}

// handle runs admission and the special handler.
func (c *Chain) handle(ctx context.Context, call *Call, obj runtime.Object, h Handler) (runtime.Object, error) {
	if o, ok := obj.(api.Object); ok && call.Target.Resource.Namespaced && call.Sub == nil {
		if err := matchNamespace(call.Target.Resource, call.Namespace, o); err != nil {
			return nil, err
		}
	}
	if call.Sub == nil && call.Target.Resource.Strategy.Default != nil {
		if o, ok := obj.(api.Object); ok {
			call.Target.Resource.Strategy.Default(o)
		}
	}
	op := call.operation("create", obj, nil)
	if err := c.admit(ctx, op); err != nil {
		return nil, err
	}
	if err := c.validate(ctx, op); err != nil {
		return nil, err
	}
	out, err := h(ctx, call.User, call.Namespace, call.Name, op.Object)
	if err != nil {
		return nil, storeError(err, call.groupResource(), call.Name)
	}
	return out, nil
}
