package sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// world is the truth: every state of every resource there ever was.
type world struct {
	revision int64
	made     int
	history  map[schema.GroupResource][]state
	trace    uint64
}

// state is one resource from a revision on. Immutable.
type state struct {
	revision int64
	objects  map[string]api.Object
}

func newWorld() *world { return &world{history: map[schema.GroupResource][]state{}} }

// note makes a step part of the history's fingerprint.
func (w *world) note(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d ", w.trace)
	fmt.Fprintf(h, format, args...)
	w.trace = h.Sum64()
}

// at returns the resource as it was at the revision.
func (w *world) at(gr schema.GroupResource, revision int64) snapshot {
	states := w.history[gr]
	i, found := slices.BinarySearchFunc(states, revision, func(s state, r int64) int { return cmp.Compare(s.revision, r) })
	if !found {
		i--
	}
	if i < 0 {
		return snapshot{revision: revision}
	}
	return snapshot{revision: revision, objects: states[i].objects}
}

func (w *world) get(gr schema.GroupResource, namespace, name string) (api.Object, bool) {
	return w.at(gr, w.revision).Get(namespace, name)
}

// put stores obj (nil: removes) under the next revision.
func (w *world) put(gr schema.GroupResource, namespace, name string, obj api.Object) {
	w.revision++
	objects := maps.Clone(w.at(gr, w.revision-1).objects)
	if objects == nil {
		objects = map[string]api.Object{}
	}
	if obj == nil {
		delete(objects, namespace+"/"+name)
	} else {
		obj.SetResourceVersion(strconv.FormatInt(w.revision, 10))
		objects[namespace+"/"+name] = obj
	}
	w.history[gr] = append(w.history[gr], state{revision: w.revision, objects: objects})
	w.note("%d %s %s/%s %v", w.revision, gr, namespace, name, obj != nil)
}

// write does what an API server does with the writes that this simulation sees.
func (w *world) write(cw client.Write) (runtime.Object, error) {
	if cw.Verb == client.Create {
		return w.create(cw)
	}
	old, ok := w.get(cw.Resource, cw.Namespace, cw.Name)
	if !ok {
		return nil, apierrors.NewNotFound(cw.Resource, cw.Name)
	}
	conflict := apierrors.NewConflict(cw.Resource, cw.Name, fmt.Errorf("changed"))
	switch cw.Verb {
	case client.Update:
		obj, _ := cw.Object.DeepCopyObject().(api.Object)
		if obj.GetResourceVersion() != old.GetResourceVersion() {
			return nil, conflict
		}
		w.put(cw.Resource, cw.Namespace, cw.Name, obj)
		return obj, nil
	case client.Delete:
		if p := cw.Delete.Preconditions; p != nil && p.UID != nil && *p.UID != old.GetUID() {
			return nil, conflict
		}
		return old, w.delete(cw.Resource, old)
	default:
		return nil, apierrors.NewMethodNotSupported(cw.Resource, string(cw.Verb))
	}
}

func (w *world) create(cw client.Write) (runtime.Object, error) {
	obj, _ := cw.Object.DeepCopyObject().(api.Object)
	w.made++
	if obj.GetName() == "" {
		obj.SetName(fmt.Sprintf("%s%d", obj.GetGenerateName(), w.made))
	}
	obj.SetUID(types.UID(fmt.Sprintf("uid-%d", w.made)))
	w.put(cw.Resource, obj.GetNamespace(), obj.GetName(), obj)
	return obj, nil
}

// delete begins a graceful delete; the node ends it later.
func (w *world) delete(gr schema.GroupResource, old api.Object) error {
	if old.GetDeletionTimestamp() == nil {
		obj, _ := old.DeepCopyObject().(api.Object)
		now := metav1.NewTime(epoch)
		obj.SetDeletionTimestamp(&now)
		w.put(gr, obj.GetNamespace(), obj.GetName(), obj)
	}
	return nil
}

// snapshot implements client.Snapshot over one state.
type snapshot struct {
	revision int64
	objects  map[string]api.Object
}

func (s snapshot) Revision() int64 { return s.revision }

func (s snapshot) Get(namespace, name string) (api.Object, bool) {
	obj, ok := s.objects[namespace+"/"+name]
	return obj, ok
}

func (s snapshot) All(namespace string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		for _, key := range slices.Sorted(maps.Keys(s.objects)) {
			if obj := s.objects[key]; (namespace == "" || obj.GetNamespace() == namespace) && !yield(obj) {
				return
			}
		}
	}
}

func (s snapshot) Index(name, value string) iter.Seq[api.Object] {
	return func(yield func(api.Object) bool) {
		for obj := range s.All("") {
			ref := metav1.GetControllerOfNoCopy(obj)
			if name == api.IndexController && ref != nil && string(ref.UID) == value && !yield(obj) {
				return
			}
		}
	}
}

func (s snapshot) Len() int { return len(s.objects) }

// activePods counts the truth's pods that are not being deleted.
func (w *world) activePods() int {
	n := 0
	for obj := range w.at(pods, w.revision).All("") {
		if pod, ok := obj.(*corev1.Pod); ok && pod.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}
