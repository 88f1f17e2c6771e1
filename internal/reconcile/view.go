package reconcile

import (
	"fmt"
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// View is what a controller may know when it decides: the newest snapshot of each of its inputs. Immutable; objects are shared
// and must be copied before change. A read of a kind that is no input returns nothing and makes the engine refuse the plan.
type View interface {
	// Now is the time at which the view was taken.
	Now() time.Time
	Get(gr schema.GroupResource, namespace, name string) (api.Object, bool)
	// All yields the objects of a namespace (empty: all) by namespace and name.
	All(gr schema.GroupResource, namespace string) iter.Seq[api.Object]
	// Index yields the objects whose index (see api.Resource.Indexes) has the value.
	Index(gr schema.GroupResource, name, value string) iter.Seq[api.Object]
	// Kinds lists the resources in the view, with what the catalogue knows of them.
	Kinds() []*api.Resource
	// Dependents returns the keys, with their resources, of the objects that name the UID in an owner reference. Only for
	// controllers that asked for it (see Input.Dependents).
	Dependents(uid types.UID) []Key
	// Seen tells when this process first saw this version of the object (see Input.SeenAs). Judging the age of a heartbeat by
	// it needs no agreement between clocks.
	Seen(obj api.Object) time.Time
	// Last is how the writes of the key's previous plan ended.
	Last(key Key) Outcome
	// Answer is what a call of the key's previous plan returned.
	Answer(port, id string) (Answer, bool)
}

// Get reads one object as its Go type.
func Get[T api.Object](v View, gr schema.GroupResource, namespace, name string) (T, bool) {
	var zero T
	obj, ok := v.Get(gr, namespace, name)
	if !ok {
		return zero, false
	}
	t, ok := obj.(T)
	return t, ok
}

// All yields the objects of a namespace (empty: all) as their Go type.
func All[T api.Object](v View, gr schema.GroupResource, namespace string) iter.Seq[T] {
	return typed[T](v.All(gr, namespace))
}

// Index yields the objects whose index has the value as their Go type.
func Index[T api.Object](v View, gr schema.GroupResource, name, value string) iter.Seq[T] {
	return typed[T](v.Index(gr, name, value))
}

func typed[T api.Object](objects iter.Seq[api.Object]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for obj := range objects {
			if t, ok := obj.(T); ok && !yield(t) {
				return
			}
		}
	}
}

// ViewConfig holds the parts of a view. Nil functions mean that there is nothing to know.
type ViewConfig struct {
	Now time.Time
	// Snapshot returns an input's newest snapshot, false for a resource that may not be read. It is asked once per resource.
	Snapshot func(schema.GroupResource) (client.Snapshot, bool)
	// Every: an input of every kind is declared. A kind that is not there is not served and simply has no objects.
	Every bool
	// Kinds are the inputs as the catalogue knows them, in its order.
	Kinds      []*api.Resource
	Dependents func(types.UID) []Key
	Seen       func(obj api.Object) (time.Time, bool)
	Last       map[Key]Outcome
	Answers    map[CallID]Answer
}

// CallID names a call within a plan.
type CallID struct{ Port, ID string }

// StaticView is the View that the engine and tests use.
type StaticView struct {
	c       ViewConfig
	taken   map[schema.GroupResource]client.Snapshot
	refused error
}

// NewView returns a view of these parts. Not for use by several goroutines at once.
func NewView(c ViewConfig) *StaticView {
	return &StaticView{c: c, taken: map[schema.GroupResource]client.Snapshot{}}
}

// Refused tells whether something was read that is no input.
func (v *StaticView) Refused() error { return v.refused }

func (v *StaticView) snapshot(gr schema.GroupResource) (client.Snapshot, bool) {
	if s, ok := v.taken[gr]; ok {
		return s, true
	}
	s, ok := v.c.Snapshot(gr)
	if !ok {
		if v.refused == nil && !v.c.Every {
			v.refused = fmt.Errorf("reading %s: not declared as an input", gr)
		}
		return nil, false
	}
	v.taken[gr] = s
	return s, true
}

// Now implements View.
func (v *StaticView) Now() time.Time { return v.c.Now }

// Get implements View.
func (v *StaticView) Get(gr schema.GroupResource, namespace, name string) (api.Object, bool) {
	s, ok := v.snapshot(gr)
	if !ok {
		return nil, false
	}
	return s.Get(namespace, name)
}

// All implements View.
func (v *StaticView) All(gr schema.GroupResource, namespace string) iter.Seq[api.Object] {
	s, ok := v.snapshot(gr)
	if !ok {
		return func(func(api.Object) bool) {}
	}
	return s.All(namespace)
}

// Index implements View.
func (v *StaticView) Index(gr schema.GroupResource, name, value string) iter.Seq[api.Object] {
	s, ok := v.snapshot(gr)
	if !ok {
		return func(func(api.Object) bool) {}
	}
	return s.Index(name, value)
}

// Kinds implements View.
func (v *StaticView) Kinds() []*api.Resource { return v.c.Kinds }

// Dependents implements View.
func (v *StaticView) Dependents(uid types.UID) []Key {
	if v.c.Dependents == nil {
		return nil
	}
	return v.c.Dependents(uid)
}

// Seen implements View. An object that was not seen before counts as seen now.
func (v *StaticView) Seen(obj api.Object) time.Time {
	if v.c.Seen != nil {
		if at, ok := v.c.Seen(obj); ok {
			return at
		}
	}
	return v.c.Now
}

// Last implements View.
func (v *StaticView) Last(key Key) Outcome { return v.c.Last[key] }

// Answer implements View.
func (v *StaticView) Answer(port, id string) (Answer, bool) {
	a, ok := v.c.Answers[CallID{Port: port, ID: id}]
	return a, ok
}
