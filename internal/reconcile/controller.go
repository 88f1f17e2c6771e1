package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Controller drives one concern of the cluster towards what its objects ask for. All methods are pure and safe for concurrent
// use; Inputs and Outputs never change.
type Controller interface {
	// Name is unique and the name of the service account the controller acts as, such as "replicaset-controller".
	Name() string
	// Inputs are the kinds the controller reads. Nothing else is in its views.
	Inputs() []Input
	// Outputs are the kinds and verbs it writes. A plan with anything else is refused.
	Outputs() []Output
	// Reconcile decides what to do about one key. The engine never runs a key twice at the same time. An error is retried
	// with back-off; writes that are refused are no error here (see View.Last).
	Reconcile(v View, key Key) (Plan, error)
}

// Key names one unit of a controller's work, normally an object. Resource is only set by controllers whose keys are of
// several kinds.
type Key struct {
	Resource        schema.GroupResource
	Namespace, Name string
}

// KeyOf returns the key of an object, without a resource.
func KeyOf(obj metav1.Object) Key { return Key{Namespace: obj.GetNamespace(), Name: obj.GetName()} }

// Self is the Keys function of a controller's own kind.
func Self(_ View, obj api.Object) []Key { return []Key{KeyOf(obj)} }

func (k Key) String() string {
	s := k.Name
	if k.Namespace != "" {
		s = k.Namespace + "/" + s
	}
	if k.Resource.Resource != "" {
		s = k.Resource.String() + " " + s
	}
	return s
}

// Input is a kind that a controller reads.
type Input struct {
	Resource schema.GroupResource
	// Namespace, LabelSelector and FieldSelector narrow what is read. Empty means everything.
	Namespace, LabelSelector, FieldSelector string
	// Keys returns the keys that a changed object concerns. For a modification it is called with the old and the new object,
	// for a deletion with the last known one. Nil: the kind is read but wakes nobody.
	Keys func(v View, obj api.Object) []Key
	// Relevant, when set, drops modifications that no key cares about.
	Relevant func(old, obj api.Object) bool
	// MetadataOnly gives *metav1.PartialObjectMetadata instead of whole objects.
	MetadataOnly bool
	// SeenAs makes View.Seen work for the kind: it tells what makes a version of an object a new one to see, such as the time
	// of its last heartbeat. ByVersion takes the resource version.
	SeenAs func(obj api.Object) string
	// Every, with an empty Resource, means every served kind that can be listed and watched, metadata only; kinds that
	// custom resource definitions add are followed as they come. Except leaves kinds out.
	Every  bool
	Except []schema.GroupResource
	// Dependents, with Every, makes View.Dependents work.
	Dependents bool
}

// ByVersion is the SeenAs of inputs for which every change counts.
func ByVersion(obj api.Object) string { return obj.GetResourceVersion() }

func (in Input) selection() client.Selection {
	return client.Selection{
		Resource: in.Resource, Namespace: in.Namespace, LabelSelector: in.LabelSelector,
		FieldSelector: in.FieldSelector, MetadataOnly: in.MetadataOnly || in.Every,
	}
}

// Output is a kind that a controller writes. Subresource may be "status" and the like; every subresource is an entry of its
// own. Every means any kind (then Resource and Subresource are empty).
type Output struct {
	Resource    schema.GroupResource
	Subresource string
	Verbs       []client.Verb
	Every       bool
}

// Plan is what a controller wants done about a key now.
type Plan struct {
	// Groups are performed in order, the writes of a group concurrently. The group in which a write fails is the last one
	// performed; the key then runs again after back-off, with the failures in View.Last.
	Groups []Group
	// Events are recorded when the groups have been performed, whether or not a write failed.
	Events []Event
	// Calls go through the controller's ports after the groups succeeded, concurrently. The key runs again when all have
	// returned, and not before, with the answers in its view. A call may take long; it holds up no other key.
	Calls []Call
	// After, when positive, makes the key run again that much later even if nothing changes.
	After time.Duration
}

// Add appends a group unless it is empty.
func (p *Plan) Add(writes ...Write) {
	if len(writes) > 0 {
		p.Groups = append(p.Groups, Group(writes))
	}
}

// Again asks to run no later than after d. Durations that are not positive are ignored.
func (p *Plan) Again(d time.Duration) {
	if d > 0 && (p.After == 0 || d < p.After) {
		p.After = d
	}
}

// Group is a set of writes that may be performed in any order or at once.
type Group []Write

// Write is a client.Write and the events that tell users how it ended. In the messages {name} stands for the written object's
// name and {error} for the error.
type Write struct {
	client.Write
	Done, Failed *Event

	invalid error // why the write could not be made; the plan is refused
}

// Event is a message to users about an object, recorded as a core Event.
type Event struct {
	Regarding corev1.ObjectReference
	Type      string // corev1.EventTypeNormal or EventTypeWarning
	Reason    string
	Message   string
}

// Ref returns a reference to an object as events use it.
func Ref(gvk schema.GroupVersionKind, obj metav1.Object) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}
}

// Call is a request to one of the controller's ports. ID tells calls to the same port apart.
type Call struct {
	Port, ID string
	Request  any
}

// Answer is what a call returned.
type Answer struct {
	Value any
	Err   error
}

// Port does what cannot be a plan of writes: it may read and write through the client it is given (the controller's own
// identity) or reach out of the cluster. Safe for concurrent use. It should return soon after ctx ends.
type Port interface {
	Call(ctx context.Context, c client.Interface, request any) (any, error)
}

// PortUser is a controller with ports, by name.
type PortUser interface {
	Controller
	Ports() map[string]Port
}

// Outcome is how the writes of a key's previous plan ended, in the plan's order; writes after a failed group are missing.
// Empty when the plan had no writes, and when this process has not run the key before.
type Outcome struct {
	At      time.Time
	Results []Result
}

// Result is how one write ended.
type Result struct {
	Write  client.Write
	Stored runtime.Object
	Err    error
}

// Failed returns the first failure of a write of that verb and resource (no subresource), or nil.
func (o Outcome) Failed(verb client.Verb, gr schema.GroupResource) error {
	for _, r := range o.Results {
		if r.Err != nil && r.Write.Verb == verb && r.Write.Resource == gr && r.Write.Subresource == "" {
			return r.Err
		}
	}
	return nil
}

// Creating returns a create of obj.
func Creating(gr schema.GroupResource, obj api.Object) Write {
	return Write{Write: client.Write{
		Verb: client.Create, Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj,
	}}
}

// Updating returns an update of obj, which must be a changed copy that still has the resource version it was read at.
func Updating(gr schema.GroupResource, obj api.Object) Write {
	return Write{Write: client.Write{
		Verb: client.Update, Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj,
	}}
}

// UpdatingStatus returns an update of obj's status.
func UpdatingStatus(gr schema.GroupResource, obj api.Object) Write {
	w := Updating(gr, obj)
	w.Subresource = "status"
	return w
}

// Patching returns a patch of exactly this obj: its UID goes along in the patch's metadata, and a successor of the same name
// refuses it. body is the patch as a tree of maps, without the UID.
func Patching(gr schema.GroupResource, obj metav1.Object, pt types.PatchType, body map[string]any) Write {
	whole := maps.Clone(body)
	meta, _ := body["metadata"].(map[string]any)
	meta = maps.Clone(meta)
	if meta == nil {
		meta = map[string]any{}
	}
	if uid := obj.GetUID(); uid != "" {
		meta["uid"] = uid
		whole["metadata"] = meta
	}
	data, err := json.Marshal(whole)
	w := Write{Write: client.Write{
		Verb: client.Patch, Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName(), PatchType: pt, PatchData: data,
	}}
	if err != nil {
		w.invalid = fmt.Errorf("encoding a patch of %s %s: %w", gr, obj.GetName(), err)
	}
	return w
}

// PatchingStatus is Patching of the status subresource. body is the status alone; lists of conditions are merged by type.
func PatchingStatus(gr schema.GroupResource, obj metav1.Object, status map[string]any) Write {
	w := Patching(gr, obj, types.StrategicMergePatchType, map[string]any{"status": status})
	w.Subresource = "status"
	return w
}

// Deleting returns a delete of exactly this obj: its UID is a precondition.
func Deleting(gr schema.GroupResource, obj metav1.Object) Write {
	uid := obj.GetUID()
	return Write{Write: client.Write{
		Verb: client.Delete, Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Delete: metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	}}
}
